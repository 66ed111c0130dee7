import type { PlanDefinition } from '../ir/planDefinition.ts';
import { sessionError } from './sessionChecks.ts';

/** `[layer of the plan][kvHead]` positive numbers. The largest magnitude that a head stores exactly is 448 times its scale. */
export interface CacheScales {
  readonly keys: readonly (readonly number[])[];
  readonly values: readonly (readonly number[])[];
}

/** Scales of an 8-bit cache: one for each layer and KV head of the plan, positive and finite. */
export function checkCacheScales({ shape, layout }: Pick<PlanDefinition, 'shape' | 'layout'>, scales: CacheScales | undefined): void {
  if (scales === undefined) return;
  if (layout.cacheType !== 'e4m3') throw sessionError('badOptions', 'cacheScales are for a cache in e4m3; this package stores the element type');
  for (const name of ['keys', 'values'] as const) {
    const table = scales[name];
    if (table.length !== shape.layers) throw sessionError('badOptions', `cacheScales.${name} has ${table.length} layers; the plan has ${shape.layers}`);
    table.forEach((heads, layer) => {
      if (heads.length !== shape.kvHeads) throw sessionError('badOptions', `cacheScales.${name}[${layer}] has ${heads.length} entries; the plan has ${shape.kvHeads} KV heads`);
      heads.forEach((scale, head) => {
        if (!(scale > 0 && Number.isFinite(scale))) throw sessionError('badOptions', `cacheScales.${name}[${layer}][${head}] is ${String(scale)}; it must be positive and finite`);
      });
    });
  }
}
