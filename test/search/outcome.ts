/** Searches of one small synthetic profile, done without the command line. */
import type { Found } from '../../src/search/makeReport.ts';
import type { Instance } from '../../src/search/instance.ts';
import type { ProfileFacts } from '../../src/search/planFile.ts';
import { planText } from '../../src/search/planFile.ts';
import { readProfile } from '../../src/search/profile/readProfile.ts';
import type { Constraint, Granularity, SearchRequest } from '../../src/search/request.ts';
import { bestPlan, instanceOf } from '../../src/search/searchPlans.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { syntheticProfile } from './support.ts';

const lengths = [256, 512];
const synthetic = syntheticProfile({ layers: 2, queryHeads: 4, kvHeads: 2, lengths, seed: 3 });
export const profile = (await readProfile(synthetic.path, new DiagnosticList(), { sinkPages: [1] }))!;
export const facts: ProfileFacts = { model: profile.model, sha256: profile.sha256, lengths };

export interface Asked {
  readonly granularity?: Granularity;
  readonly rulesPerLayer?: number;
  /** On the density at both lengths, unless there are `constraints`. */
  readonly bound?: number;
  readonly constraints?: readonly Constraint[];
  /** Lengths that are extrapolated. */
  readonly extend?: readonly number[];
  /** In the order of lengths; 1 each by default. */
  readonly weights?: readonly number[];
}

export function requestFor({ granularity = 'kv-head', rulesPerLayer = 2, bound = 0.6, constraints, extend = [], weights }: Asked): SearchRequest {
  const all = [...lengths, ...extend];
  return {
    granularity,
    rulesPerLayer,
    limits: { sink: 64, page: 64, minSpan: 128 },
    objectives: all.map((length, n) => ({ length, weight: weights?.[n] ?? 1 })),
    constraints: constraints ?? all.map((length) => ({ kind: 'density', length, bound })),
    gap: 1e-4,
    exact: true,
  };
}

export const instanceFor = (request: SearchRequest, diagnostics = new DiagnosticList()): Instance | undefined =>
  instanceOf({ model: profile.model, lengths, tail: (length, layer, head) => profile.tail(length, layer, head, 1) }, request, diagnostics);

/** The outcome of a search for one plan. */
export async function found(asked: Asked): Promise<Found> {
  const request = requestFor(asked);
  const instance = instanceFor(request)!;
  const plans = [await bestPlan(instance, request)];
  return { profile, instance, request, plans, chosen: 0, reason: 'it is the only one', plan: planText(instance, request, plans[0]!, facts, {}), seconds: [{ stage: 'solve', seconds: 1.5 }] };
}
