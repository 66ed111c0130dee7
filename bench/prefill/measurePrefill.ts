/** Time of prefill of a layer, the mean over a plan's layers: attention alone, and append + attention. */
import type { Device, Plan } from 'moa-compile/runtime';
import type { ElementType, Tensors } from '../lib/buffers.ts';
import { chooseLayers } from '../lib/chooseLayers.ts';
import { fillRings } from '../lib/fillRings.ts';
import { restedTimes } from '../lib/restedTimes.ts';
import { median, significant } from '../lib/statistics.ts';
import { allowedPairs, tflops } from './pairs.ts';
import type { Times } from './results.ts';
import { cuSeqlensOf, type Scenario } from './scenarios.ts';

export interface PrefillCase {
  readonly scenario: Scenario;
  readonly elementType: ElementType;
}

export interface MeasuredPrefill extends Times {
  /** The window of each query head, by layer: of the layers that stand for the plan. */
  readonly windows: Readonly<Record<number, readonly number[]>>;
}

/** Up to this N all layers are measured; beyond, `sampledLayers` stand for them. */
const longestOfAllLayers = 32768;
const sampledLayers = 8;
/** What peers measure that need time to compile. */
const representatives = 4;
/** Of passes over all layers, whose median is taken. */
const [samples, samplesWithAppend] = [5, 3];
/** Less than a GPU has: tensors and workspace lie beside the cache. */
const shareOfMemory = 0.75;

/**
 * A pass is one call for each layer that is measured, one behind the other as in a model, between two events. All layers are, but for the longest
 * N; there the time is scaled from the pairs of the measured ones to those of the mean layer.
 * @param input of any layer: as many tokens as `scenario` has, or holds before
 */
export function measurePrefill(device: Device, plan: Plan, input: Tensors, { scenario, elementType }: PrefillCase): MeasuredPrefill {
  const { definition } = plan;
  const { lengths, held, bound } = scenario;
  const shape = { batch: lengths.length, lengthBound: bound };
  const { cache } = plan.memory(shape);
  if (cache > shareOfMemory * device.memoryBytes) throw new Error(`the cache takes ${(cache / 2 ** 30).toFixed(0)} GiB`);
  using session = plan.createSession({ ...shape, elementType, rope: 'none' });

  const weights = definition.layers.map(({ sink }, layer) => allowedPairs(scenario, session.windows(layer), sink));
  const layers = bound <= longestOfAllLayers ? weights.map((_, layer) => layer) : chooseLayers(weights, Math.min(sampledLayers, weights.length));
  const call = { ...input, cuSeqlens: cuSeqlensOf(lengths) };
  const attend = (): void => layers.forEach((layer) => session.attend(layer, call));
  const prefill = (): void => layers.forEach((layer) => session.prefill(layer, call));
  const prepare = (): void => {
    session.reset();
    if (held === 0) return;
    fillRings(session, layers, input, held);
    attend(); // the lists of work are made again for `call`
  };

  prepare();
  attend();
  const computed = mean(layers.map((layer) => session.computedPairs(layer, call)));
  const attention = restedTimes(device, attend, samples);
  const both = restedTimes(device, prefill, samplesWithAppend, prepare);

  const active = mean(layers.map((layer) => weights[layer]!));
  const ms = median(attention.map((time) => time.ms)) / layers.length;
  const toMeanLayer = mean(weights) / active;
  return {
    layers: layers.length,
    ms: significant(ms * toMeanLayer),
    withAppendMs: significant((median(both.map((time) => time.ms)) / layers.length) * toMeanLayer),
    hostMs: significant(median(attention.map(({ hostMs }) => hostMs)) / layers.length, 3),
    activePairs: Math.round(mean(weights)),
    activeTflops: significant(tflops(active, definition.shape.headDim, ms)),
    computedPairs: Math.round(computed * toMeanLayer),
    computedTflops: significant(tflops(computed, definition.shape.headDim, ms)),
    windows: Object.fromEntries(chooseLayers(weights, Math.min(representatives, weights.length)).map((layer) => [layer, [...session.windows(layer)]])),
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
