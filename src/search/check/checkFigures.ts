/** The checks that compute: constraints and value at the plan, and the bounds. */
import type { ModelShape } from '../../ir/nodes.ts';
import type { Certificate } from './certificate.ts';
import { failed, notChecked, ok, type Check } from './check.ts';
import { Costs, type SpanRule } from './costs.ts';
import { lagrangianBound } from './lagrangianBound.ts';

export interface PlanFacts {
  readonly shape: ModelShape;
  /** By layer and query head. */
  readonly rules: readonly (readonly SpanRule[])[];
  readonly certificate: Certificate;
  readonly costs: Costs;
  /** Why no losses are known; absent where they are. */
  readonly unknown?: string;
}

/** Sums of doubles in another order differ by less. */
const TOLERANCE = 1e-9;

const atMost = (value: number, limit: number): boolean => value <= limit + TOLERANCE * Math.max(Math.abs(value), Math.abs(limit));
const show = (value: number): string => String(Number(value.toPrecision(10)));

export function checkConstraint(facts: PlanFacts, index: number): Check {
  const { certificate, costs, unknown } = facts;
  const constraint = certificate.constraints[index]!;
  const { kind, length, bound } = constraint;
  const name = `${kind} at ${length}`;
  if (kind === 'loss' && unknown !== undefined) return notChecked(name, unknown);
  const limit = costs.limit(constraint);
  const value = kind === 'loss' ? lossOf(facts, length) : useOf(facts, (kept) => Costs.use(constraint, kept), length);
  // Shown as bounds are written: a part of a dense plan, but for a loss.
  const unit = bound === 0 || limit === 0 ? 1 : limit / bound;
  const figures = { value: value / unit, limit: limit / unit, slack: (limit - value) / unit };
  if (!atMost(value, limit)) return failed(name, `${show(figures.value)} is more than ${show(figures.limit)}`, figures);
  return ok(name, `${show(figures.value)} of ${show(figures.limit)}, slack ${show(figures.slack)}`, figures);
}

export function checkValue(facts: PlanFacts): Check {
  const { certificate, unknown } = facts;
  if (unknown !== undefined) return notChecked('value', unknown);
  const value = certificate.objective.reduce((sum, { length, weight }) => sum + weight * lossOf(facts, length), 0);
  const figures = { value, claimed: certificate.value };
  if (Math.abs(value - certificate.value) <= TOLERANCE * Math.max(value, certificate.value)) return ok('value', `${show(value)}, as claimed`, figures);
  return failed('value', `the plan's value is ${value}, the certificate says ${certificate.value}`, figures);
}

/** Multipliers, the bound that they give, and the order of the bounds. */
export function checkBounds({ shape, certificate, costs, unknown }: PlanFacts): Check[] {
  const { multipliers, lowerBound, exact, value } = certificate;
  const negative = multipliers.findIndex((multiplier) => !(multiplier >= 0));
  const valid = negative < 0;
  const checks = [valid ? ok('multipliers', `${multipliers.length}, none negative`) : failed('multipliers', `multiplier ${negative} is ${multipliers[negative]}: it proves nothing below 0`)];

  if (!valid) checks.push(notChecked('lower bound', 'a multiplier is negative'));
  else if (unknown === undefined) {
    const bound = lagrangianBound(shape, certificate, costs);
    const figures = { bound, claimed: lowerBound };
    if (atMost(lowerBound, bound)) checks.push(ok('lower bound', `${show(lowerBound)}; the multipliers give ${show(bound)}`, figures));
    else checks.push(failed('lower bound', `the multipliers give ${bound}, the certificate says ${lowerBound}`, figures));
  } else checks.push(notChecked('lower bound', unknown));

  const order = [lowerBound, ...(exact === undefined ? [] : [exact.lowerBound]), value];
  const rises = order.every((bound, index) => index === 0 || atMost(order[index - 1]!, bound));
  checks.push((rises ? ok : failed)('order of bounds', `${exact === undefined ? 'lower bound, value' : 'lower bound, exact lower bound, value'}: ${order.map(show).join(', ')}`));
  if (exact !== undefined) checks.push(notChecked('exact lower bound', `stated (${exact.method}): only solving again can check it`));
  return checks;
}

/** The loss of the plan at a length. */
function lossOf({ rules, costs, shape }: PlanFacts, length: number): number {
  return rules.reduce((sum, heads, layer) => heads.reduce((part, rule, head) => part + costs.loss(layer * shape.queryHeads + head, length, costs.window(layer, rule, length)), sum), 0);
}

/** The sum over the heads that rules are chosen for; a KV head keeps what the longest of its query heads keeps. */
function useOf({ rules, costs }: PlanFacts, use: (kept: number) => number, length: number): number {
  const { headsPerLayer, queryHeadsPerHead } = costs;
  return rules.reduce((sum, heads, layer) => {
    let total = sum;
    for (let head = 0; head < headsPerLayer; head += 1) {
      const kept = heads.slice(head * queryHeadsPerHead, (head + 1) * queryHeadsPerHead).map((rule) => costs.kept(layer, rule, length));
      total += use(kept.reduce((a, b) => Math.max(a, b)));
    }
    return total;
  }, 0);
}
