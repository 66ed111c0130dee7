import type { PlanDefinition } from '../ir/planDefinition.ts';
import { describeValue } from '../util/describeValue.ts';
import { isRow } from './cacheScales.ts';
import { sessionError } from './sessionChecks.ts';

/** `[layer of the plan][queryHead]` logits, in units of the scaled score; -Infinity for a head without a sink. */
export type SinkLogits = readonly ArrayLike<number>[];

/** Logits of learned sinks: one for each layer and query head of the plan where the package was compiled with them, and none where it was not. */
export function checkSinkLogits({ shape, attention }: Pick<PlanDefinition, 'shape' | 'attention'>, logits: SinkLogits | undefined): void {
  if (attention?.learnedSinks !== true) {
    if (logits === undefined) return;
    throw sessionError('badOptions', 'sinkLogits are for a model with learned sinks; this package was compiled without them');
  }
  if (logits === undefined) throw sessionError('badOptions', "sinkLogits are missing: the package was compiled for a model with learned sinks, which are part of the model's weights");
  if (!Array.isArray(logits)) throw sessionError('badOptions', `sinkLogits is ${describeValue(logits)}; it must be an array of layers`);
  if (logits.length !== shape.layers) throw sessionError('badOptions', `sinkLogits has ${logits.length} layers; the plan has ${shape.layers}`);
  logits.forEach((heads: unknown, layer) => {
    if (!isRow(heads)) throw sessionError('badOptions', `sinkLogits[${layer}] is ${describeValue(heads)}; it must be an array of numbers`);
    if (heads.length !== shape.queryHeads) throw sessionError('badOptions', `sinkLogits[${layer}] has ${heads.length} entries; the plan has ${shape.queryHeads} query heads`);
    for (let head = 0; head < heads.length; head += 1) {
      const logit = heads[head];
      if (typeof logit !== 'number' || (logit !== -Infinity && !Number.isFinite(Math.fround(logit)))) {
        throw sessionError('badOptions', `sinkLogits[${layer}][${head}] is ${describeValue(logit)}; it must be a number that is finite as a float32, or -Infinity`);
      }
    }
  });
}

/** `[layer][queryHead]`, of these layers. */
export function sinkTable(layers: readonly number[], logits: SinkLogits): Float32Array {
  return Float32Array.from(layers.flatMap((layer) => Array.from(logits[layer]!)));
}
