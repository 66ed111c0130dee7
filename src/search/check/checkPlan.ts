/** Whether a plan is what its certificate says: by code of its own, from the plan, the certificate and the profile alone. */
import type { ModelShape } from '../../ir/nodes.ts';
import type { ParsedPlan } from '../../plan/planSchema.ts';
import { invariant } from '../../util/invariant.ts';
import type { Certificate } from './certificate.ts';
import { checkBounds, checkConstraint, checkValue } from './checkFigures.ts';
import { failed, notChecked, ok, type Check, type PlanCheck } from './check.ts';
import { Costs, type SpanRule } from './costs.ts';
import { instanceHash } from './instanceHash.ts';
import type { ProfileLosses } from './headLosses.ts';

/** `losses` are those of the profile that the user gave, if any. Without, what depends on them is not checked. */
export function checkPlan(plan: ParsedPlan, certificate: Certificate, losses?: ProfileLosses): PlanCheck {
  invariant(plan.model !== undefined, 'checkPlan: a plan with a certificate has a model');
  const { shape } = plan.model;
  const profile = checkProfile(certificate, losses);
  const usable = profile.status === 'ok' ? losses?.curves : undefined;
  const why = losses === undefined ? 'no profile was given: pass --profile' : 'the profile is not that of the certificate';
  const facts = { shape, rules: plan.rules, certificate, costs: new Costs(shape, plan.limits, certificate, plan.model.windows, usable), ...(usable === undefined ? { unknown: why } : {}) };

  const bound = checkBounds(facts);
  const checks = [
    checkInstance(plan, certificate),
    checkCandidates(plan.rules, certificate),
    ...(certificate.granularity === 'kv-head' ? [checkGranularity(plan.rules, shape)] : []),
    checkRulesPerLayer(plan.rules, certificate.rulesPerLayer),
    ...checkTables(shape, certificate),
    profile,
    ...certificate.constraints.map((_, index) => checkConstraint(facts, index)),
    checkValue(facts),
    ...bound,
  ];
  const { value, lowerBound, exact } = certificate;
  const gapTo = (least: number): number => (value === 0 ? 0 : (value - least) / value);
  return {
    ok: checks.every(({ status }) => status !== 'failed'),
    checks,
    value,
    lowerBound,
    gap: gapTo(lowerBound),
    ...(exact === undefined ? {} : { exact: { ...exact, gap: gapTo(exact.lowerBound) } }),
  };
}

type Rules = readonly (readonly SpanRule[])[];

function checkInstance(plan: ParsedPlan, { facts, instance }: Certificate): Check {
  const hash = instanceHash(plan, facts);
  return hash === instance ? ok('instance', 'the hash is that of the problem') : failed('instance', `the hash of the problem is ${hash}, the certificate says ${instance}`);
}

const sameRule = (a: SpanRule, b: SpanRule): boolean => a.alpha === b.alpha && a.numerator === b.numerator && a.denominator === b.denominator;

function checkCandidates(rules: Rules, { candidates }: Certificate): Check {
  for (const [layer, heads] of rules.entries()) {
    const head = heads.findIndex((rule) => !candidates.some((candidate) => sameRule(candidate, rule)));
    if (head >= 0) return failed('candidates', `the rule of layer ${layer}, query head ${head} is not among the candidates`);
  }
  return ok('candidates', `all rules are among the ${candidates.length} candidates`);
}

function checkGranularity(rules: Rules, { queryHeads, kvHeads }: ModelShape): Check {
  const group = queryHeads / kvHeads;
  for (const [layer, heads] of rules.entries()) {
    const head = heads.findIndex((rule, index) => !sameRule(rule, heads[index - (index % group)]!));
    if (head >= 0) return failed('granularity', `layer ${layer}, query head ${head} has another rule than query head ${head - (head % group)}, of the same KV head`);
  }
  return ok('granularity', 'the query heads of each KV head have one rule');
}

function checkRulesPerLayer(rules: Rules, most: number): Check {
  const name = 'rules per layer';
  const counts = rules.map((heads) => heads.filter((rule, index) => heads.findIndex((other) => sameRule(other, rule)) === index).length);
  const highest = counts.reduce((a, b) => Math.max(a, b));
  if (most !== 0 && highest > most) return failed(name, `layer ${counts.indexOf(highest)} has ${highest} different rules; ${most} are allowed`);
  return ok(name, `at most ${highest}${most === 0 ? '; any number is allowed' : ` of ${most}`}`);
}

function checkTables({ headDim, queryHeads, kvHeads }: ModelShape, { constraints }: Certificate): Check[] {
  return constraints.flatMap((constraint) => {
    if (constraint.kind !== 'latency') return [];
    const { table, length } = constraint;
    const name = `latency table at ${length}`;
    if (table.headDim !== headDim || table.groupSize !== queryHeads / kvHeads) {
      return [failed(name, `it was measured with headDim ${table.headDim} and ${table.groupSize} query heads for a KV head; the model has ${headDim} and ${queryHeads / kvHeads}`)];
    }
    return [ok(name, `${table.phase} on ${table.device}, with the head dimension and group size of the model`)];
  });
}

function checkProfile({ profile }: Certificate, losses: ProfileLosses | undefined): Check {
  if (losses === undefined) return notChecked('profile', 'no profile was given: pass --profile');
  if (losses.sha256 !== profile.sha256) return failed('profile', `the SHA-256 of the file is ${losses.sha256}, the certificate says ${profile.sha256}`);
  if (losses.problem !== undefined) return failed('profile', losses.problem);
  return ok('profile', `the file is the one that was searched, with lengths ${profile.lengths.join(', ')}`);
}
