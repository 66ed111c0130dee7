/** What a search found, for its report. */
import { printRule, sinkOf } from '../ir/affine.ts';
import { inspectPlan, type LengthFigures } from '../inspect.ts';
import { readPlan } from '../plan/readPlan.ts';
import { DiagnosticList } from '../util/diagnostics.ts';
import { invariant } from '../util/invariant.ts';
import { version } from '../version.ts';
import type { FrontPoint } from './front.ts';
import { keptSlots, type Instance } from './instance.ts';
import { rulesOf } from './planFile.ts';
import type { Profile } from './profile/profile.ts';
import type { ReportHead, ReportPlan, SearchReport } from './report/searchReport.ts';
import type { Constraint, SearchRequest } from './request.ts';
import type { Validation } from './validation.ts';

export interface Found {
  readonly profile: Profile;
  readonly instance: Instance;
  readonly request: SearchRequest;
  readonly plans: readonly FrontPoint[];
  /** The place of the chosen plan. */
  readonly chosen: number;
  readonly reason: string;
  readonly validation?: Validation;
  /** The text of the chosen plan. */
  readonly plan: string;
  readonly seconds: SearchReport['seconds'];
}

const MAPS = 4;

export async function makeReport({ profile, instance, request, plans, chosen, reason, validation, plan, seconds }: Found): Promise<SearchReport> {
  const { objectives, limits, granularity, rulesPerLayer } = request;
  const point = plans[chosen]!;
  const spanLength = objectives.at(-1)!.length;
  const rules = rulesOf(instance, point);
  const ranked = rankHeads(profile, instance.windows.map((window) => sinkOf(limits, window) / limits.page));
  const maps = (heads: readonly RankedHead[]): Promise<ReportHead[]> => Promise.all(heads.map((head) => mapOf(profile, head)));
  return {
    model: profile.model,
    lengths: objectives.map(({ length }) => {
      const profiled = profile.lengths.find((known) => known.length === length);
      return { length, profiled: profiled !== undefined, ...(profiled === undefined ? {} : { samples: profiled.samples }) };
    }),
    granularity,
    rulesPerLayer,
    candidates: instance.candidates.length,
    constraints: request.constraints.map(describeConstraint),
    plans: plans.map((known, at) => reportPlan(instance, request, known, at, validation)),
    chosen: String(chosen),
    reason,
    ...(validation === undefined ? {} : { validation: { length: validation.length, samples: validation.samples, dense: validation.dense } }),
    plan: {
      spans: rules.map((layer, at) => layer.map((rule) => keptSlots(rule, limits, spanLength, instance.windows[at]!))),
      spanLength,
      rules: countRules(rules.flat().map(printRule)),
      curve: figuresOf(plan, ladder(objectives.map(({ length }) => length))).map(({ length, cacheDensity, computeDensity }) => {
        const known = objectives.findIndex((objective) => objective.length === length);
        return { length, cacheDensity, computeDensity, ...(known < 0 ? {} : { loss: point.losses[known]! }) };
      }),
    },
    mostGlobal: await maps(ranked.slice(0, MAPS)),
    mostLocal: await maps(ranked.slice(-Math.min(MAPS, Math.max(0, ranked.length - MAPS))).reverse()),
    seconds,
    version,
  };
}

export const describeConstraint = ({ kind, length, bound }: Constraint): string => (kind === 'loss' ? `loss at ${length} <= ${bound.toPrecision(4)}` : `${kind} at ${length} <= ${(100 * bound).toFixed(1)} %`);

function reportPlan(instance: Instance, request: SearchRequest, point: FrontPoint, at: number, validation: Validation | undefined): ReportPlan {
  const measured = validation?.plans[at];
  return {
    id: String(at),
    losses: point.losses,
    densities: request.objectives.map(({ length }) => densityAt(instance, point, length)),
    gap: point.solved.gap,
    ...(measured === undefined ? {} : { validation: measured }),
  };
}

/** Kept KV slots / N, averaged over the heads that the search chose for. */
export function densityAt(instance: Instance, { assignment }: FrontPoint, length: number): number {
  const kept = (candidate: number, at: number): number => keptSlots(instance.candidates[candidate]!, instance.limits, length, instance.windows[Math.floor(at / instance.heads)]!);
  return assignment.reduce((sum, candidate, at) => sum + kept(candidate, at) / length, 0) / assignment.length;
}

/** Densities of the plan as the compiler sees it. */
export function figuresOf(plan: string, lengths: readonly number[]): readonly LengthFigures[] {
  const diagnostics = new DiagnosticList();
  const read = readPlan({ text: plan, file: 'plan.json' }, undefined, {}, diagnostics);
  invariant(read !== undefined, `a plan of the search can be read: ${diagnostics.toArray().map(({ message }) => message).join('; ')}`);
  return inspectPlan(read.module, lengths).lengths;
}

/** Powers of two from a quarter of the shortest length to four times the longest, and the lengths themselves. */
function ladder(lengths: readonly number[]): readonly number[] {
  const found = new Set(lengths);
  for (let length = 64; length <= 4 * lengths.at(-1)!; length *= 2) if (length >= Math.max(256, lengths[0]! / 4)) found.add(length);
  return [...found].sort((a, b) => a - b);
}

function countRules(names: readonly string[]): SearchReport['plan']['rules'] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([rule, heads]) => ({ rule, heads })).sort((a, b) => b.heads - a.heads || (a.rule < b.rule ? -1 : 1));
}

interface RankedHead {
  readonly layer: number;
  readonly queryHead: number;
  /** Mean distance of its influence outside the sink, in pages. */
  readonly reach: number;
}

/** Heads that have influence, the farthest first, in the longest profile. */
function rankHeads(profile: Profile, sinkPages: readonly number[]): readonly RankedHead[] {
  const last = profile.lengths.length - 1;
  const heads: RankedHead[] = [];
  for (let layer = 0; layer < profile.model.layers; layer += 1) {
    for (let queryHead = 0; queryHead < profile.model.queryHeads; queryHead += 1) {
      const tail = profile.tail(last, layer, queryHead, sinkPages[layer]!);
      // The sum over pairs of their distance is the sum of all tails from the first page on.
      if (tail[0]! > 0) heads.push({ layer, queryHead, reach: tail.subarray(1).reduce((sum, loss) => sum + loss, 0) / tail[0]! });
    }
  }
  return heads.sort((a, b) => b.reach - a.reach || a.layer - b.layer || a.queryHead - b.queryHead);
}

async function mapOf(profile: Profile, { layer, queryHead }: RankedHead): Promise<ReportHead> {
  const last = profile.lengths.length - 1;
  const pages = profile.lengths[last]!.length / profile.page;
  const blocks = await profile.influenceMap(last, layer, queryHead);
  return { layer, queryHead, influence: Array.from({ length: pages }, (_, row) => [...blocks.subarray(row * pages, (row + 1) * pages)]) };
}
