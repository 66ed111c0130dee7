/** What Python is asked: docs/evaluate-formats.md. */
import type { HeadModule } from '../ir/nodes.ts';
import { stableJson } from '../util/stableJson.ts';
import { baselineMask } from './baselines.ts';
import type { Baseline } from './kinds.ts';
import { densityOf, planMask, type LengthMask } from './masks.ts';

/** A way to attend that is evaluated. */
export interface Subject {
  readonly id: string;
  readonly title: string;
  readonly masks: ReadonlyMap<number, LengthMask>;
  /** The part of the KV slots that it keeps, by length. */
  readonly densities: ReadonlyMap<number, number>;
  /** The folder of a package that was compiled from the plan. */
  readonly package?: string;
}

export interface NamedPlan {
  /** `plan`, or `plan-2` for the second one. */
  readonly id: string;
  readonly title: string;
  readonly module: HeadModule;
}

export interface EvaluationRequest {
  readonly seed: number;
  readonly lengths: readonly number[];
  readonly subjects: readonly Subject[];
  readonly retrieval?: { readonly kinds: readonly string[]; readonly samples: number; readonly depths: number };
  readonly texts?: { readonly path: string; readonly samples: number };
}

/** A plan, and baselines of as many KV slots: `uniform`, or `uniform@plan-2` where there are several plans. */
export function subjectsOf(plans: readonly NamedPlan[], against: readonly Baseline[], lengths: readonly number[]): readonly Subject[] {
  return plans.flatMap(({ id, title, module }) => [
    subjectOf(id, title, module, lengths, (length) => planMask(module, length)),
    ...against.map((kind) => {
      const name = plans.length === 1 ? kind : `${kind}@${id}`;
      return subjectOf(name, `${TITLES[kind]}, as many KV slots as ${title}`, module, lengths, (length) => baselineMask(kind, module, length));
    }),
  ]);
}

const TITLES: Readonly<Record<Baseline, string>> = { uniform: 'one window for all heads', 'streaming-llm': 'StreamingLLM', 'duo-attention': 'whole and streaming heads' };

/** A package with the mask of the plan that it was compiled from. */
export const packageSubject = (folder: string, of: Subject, count: number): Subject => ({ ...of, id: count === 0 ? 'kernels' : `kernels-${count + 1}`, title: `${folder}, through kernels`, package: folder });

function subjectOf(id: string, title: string, module: HeadModule, lengths: readonly number[], maskAt: (length: number) => LengthMask): Subject {
  const masks = new Map(lengths.map((length) => [length, maskAt(length)]));
  return { id, title, masks, densities: new Map(lengths.map((length) => [length, densityOf(module, masks.get(length)!, length)])) };
}

/** The text of a request. */
export function requestText({ seed, lengths, subjects, retrieval, texts }: EvaluationRequest): string {
  return stableJson({
    format: 'moa-evaluation-request',
    version: 1,
    seed,
    lengths,
    subjects: subjects.map(({ id, title, masks, package: folder }) => ({ id, title, masks: Object.fromEntries(masks), ...(folder === undefined ? {} : { package: folder }) })),
    retrieval: retrieval ?? null,
    texts: texts ?? null,
  });
}
