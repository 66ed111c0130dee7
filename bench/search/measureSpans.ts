/** Every span of a ladder package at every length: the rows that a latency table is made of. */
import type { Device, Plan } from 'moa-compile/runtime';
import { disposeAll, tensors } from '../lib/buffers.ts';
import { significant } from '../lib/statistics.ts';
import { ladderCases, type SpanCase } from './ladderCases.ts';
import type { LatencyPhase, LatencyRow } from './latencyRows.ts';
import { decodeTimes, prefillTimes, type DecodeOptions } from './spanTimes.ts';

export interface MeasureOptions extends DecodeOptions {
  /** Rising. */
  readonly lengths: readonly number[];
  readonly phases: readonly LatencyPhase[];
}

/** Calls `add` with each row as it is measured; a point that fails is a row that says why. */
export function measureSpans(device: Device, plan: Plan, options: MeasureOptions, add: (row: LatencyRow) => void): void {
  const { definition } = plan;
  const [elementType] = plan.elementTypes;
  const prompt = tensors(device, definition, Math.max(...options.lengths), elementType);
  for (const phase of options.phases) {
    for (const length of options.lengths) {
      for (const point of ladderCases(definition, length)) add(measureOne(phase, point));
    }
  }
  disposeAll(prompt);

  function measureOne(phase: LatencyPhase, point: SpanCase): LatencyRow {
    const { length, span } = point;
    try {
      const times = phase === 'decode' ? decodeTimes(device, plan, prompt, point, options) : prefillTimes(device, plan, prompt, point);
      const { launchUs, p10Us, p90Us, measured, bytes } = times;
      const heads = (phase === 'decode' ? options.batch : 1) * definition.shape.kvHeads;
      const read = bytes === undefined ? {} : { bytes, tbps: significant(bytes / launchUs / 1e6) };
      return { phase, length, span, us: significant(launchUs / heads), launchUs: significant(launchUs), p10Us: significant(p10Us), p90Us: significant(p90Us), measured, ...read };
    } catch (error) {
      return { phase, length, span, error: String(error).split('\n')[0]! };
    }
  }
}
