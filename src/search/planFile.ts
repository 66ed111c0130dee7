/** The plan as a file: rules, the certificate that anyone can check, and the evidence for the choice. */
import type { Rule } from '../ir/rule.ts';
import { stableJson } from '../util/stableJson.ts';
import type { JsonValue } from '../util/jsonReader.ts';
import { version } from '../version.ts';
import { instanceHash } from './check/instanceHash.ts';
import type { FrontPoint } from './front.ts';
import type { Instance } from './instance.ts';
import type { ProfileDescription } from './profile/profile.ts';
import type { Constraint, SearchRequest } from './request.ts';

/** What a plan's certificate says of its profile. */
export interface ProfileFacts {
  readonly model: ProfileDescription['model'];
  readonly sha256: string;
  /** Tokens, rising. */
  readonly lengths: readonly number[];
}

/** The rule of every query head: layers x query heads. */
export function rulesOf({ model, heads, candidates }: Instance, { assignment }: FrontPoint): readonly (readonly Rule[])[] {
  const group = model.queryHeads / heads;
  return Array.from({ length: model.layers }, (_, layer) => Array.from({ length: model.queryHeads }, (_head, head) => candidates[assignment[layer * heads + Math.floor(head / group)]!]!));
}

const betaOf = ({ numerator, denominator }: Rule): number => numerator / denominator;

/** The text of `plan.json`. */
export function planText(instance: Instance, request: SearchRequest, point: FrontPoint, profile: ProfileFacts, evidence: JsonValue): string {
  const rules = rulesOf(instance, point);
  return stableJson({
    format: 'moa-plan',
    version: 1,
    model: profile.model,
    ...request.limits,
    alphas: rules.map((layer) => layer.map(({ alpha }) => alpha)),
    betas: rules.map((layer) => layer.map(betaOf)),
    certificate: certificateOf(instance, request, point, profile),
    evidence: { tool: `moa-compile ${version}`, ...(evidence as Record<string, JsonValue>) },
  });
}

function certificateOf(instance: Instance, request: SearchRequest, { objectives, constraints, solved }: FrontPoint, profile: ProfileFacts): JsonValue {
  const { multipliers, lagrangianBound, bound } = solved;
  const { value } = solved.incumbent;
  const facts = {
    candidates: instance.candidates.map((rule) => [rule.alpha, betaOf(rule)]),
    constraints: constraints.map(writtenConstraint),
    granularity: request.granularity,
    objective: objectives.filter(({ weight }) => weight > 0).map(({ length, weight }) => ({ length, weight })),
    profile: { sha256: profile.sha256, lengths: profile.lengths },
    rulesPerLayer: request.rulesPerLayer,
  };
  const { layers, queryHeads, kvHeads, headDim, name, elementType, windows } = profile.model;
  const described = { ...(name === undefined ? {} : { name }), ...(elementType === undefined ? {} : { elementType }), ...(windows === undefined ? {} : { windows }) };
  const model = { shape: { layers, queryHeads, kvHeads, headDim }, ...described };
  return {
    format: 'moa-certificate',
    version: 1,
    ...facts,
    multipliers: [...multipliers],
    lowerBound: Math.min(lagrangianBound, value),
    value,
    ...(bound > lagrangianBound ? { exact: { lowerBound: bound, method: 'HiGHS, branch and bound on what reduced costs leave' } } : {}),
    instance: instanceHash({ limits: request.limits, model }, facts),
  };
}

function writtenConstraint(constraint: Constraint): { readonly [key: string]: JsonValue } {
  const { kind, length, bound } = constraint;
  return kind === 'latency' ? { kind, length, bound, table: constraint.table.source } : { kind, length, bound };
}
