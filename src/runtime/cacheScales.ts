import type { PlanDefinition } from '../ir/planDefinition.ts';
import { describeValue } from '../util/describeValue.ts';
import { positiveFloatProblem } from './checkFloat.ts';
import { checkOptions } from './checkOptions.ts';
import { sessionError } from './sessionChecks.ts';

/** `[layer of the plan][kvHead]` positive numbers. The largest magnitude that a head stores exactly is 448 times its scale. */
export interface CacheScales {
  readonly keys: readonly ArrayLike<number>[];
  readonly values: readonly ArrayLike<number>[];
}

const known: Readonly<Record<keyof CacheScales, true>> = Object.freeze({ keys: true, values: true });

/** Scales of an 8-bit cache: one for each layer and KV head of the plan, positive and finite. */
export function checkCacheScales({ shape, layout }: Pick<PlanDefinition, 'shape' | 'layout'>, scales: CacheScales | undefined): void {
  if (scales === undefined) return;
  if (layout.cacheType !== 'e4m3') throw sessionError('badOptions', 'cacheScales are for a cache in e4m3; this package stores the element type');
  checkOptions('cacheScales', scales, known, (message) => sessionError('badOptions', message));
  for (const name of ['keys', 'values'] as const) {
    const table: unknown = scales[name];
    if (!Array.isArray(table)) throw sessionError('badOptions', `cacheScales.${name} is ${describeValue(table)}; it must be an array of layers`);
    if (table.length !== shape.layers) throw sessionError('badOptions', `cacheScales.${name} has ${table.length} layers; the plan has ${shape.layers}`);
    table.forEach((heads: unknown, layer) => {
      if (!isRow(heads)) throw sessionError('badOptions', `cacheScales.${name}[${layer}] is ${describeValue(heads)}; it must be an array of numbers`);
      if (heads.length !== shape.kvHeads) throw sessionError('badOptions', `cacheScales.${name}[${layer}] has ${heads.length} entries; the plan has ${shape.kvHeads} KV heads`);
      for (let head = 0; head < heads.length; head += 1) {
        const problem = scaleProblem(heads[head]);
        if (problem !== undefined) throw sessionError('badOptions', `cacheScales.${name}[${layer}][${head}] ${problem}`);
      }
    });
  }
}

/** Whether `value` is an array of numbers, typed or not; what its elements are is checked one by one. */
export const isRow = (value: unknown): value is ArrayLike<unknown> => Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

/** Elements are divided by the scale, and what is stored is multiplied by it. The largest code, 448, may stand for less: the largest number of a type. */
function scaleProblem(scale: unknown): string | undefined {
  const problem = positiveFloatProblem(scale, [secondLargestE4m3]);
  if (problem !== undefined) return problem;
  return Math.fround(1 / Math.fround(scale as number)) < Infinity ? undefined : `is ${String(scale)}, which nothing can be divided by as a float32`;
}

const secondLargestE4m3 = 416;
