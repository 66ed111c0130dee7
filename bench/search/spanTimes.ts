/** Time of a launch for one layer whose heads all have one span: decode of one token of each sequence, and prefill of one prompt. */
import type { Device, Plan, Session } from 'moa-compile/runtime';
import { disposeAll, tensors, type Tensors } from '../lib/buffers.ts';
import { fillRings } from '../lib/fillRings.ts';
import { restedTimes } from '../lib/restedTimes.ts';
import { median, quantile } from '../lib/statistics.ts';
import type { SpanCase } from './ladderCases.ts';

/** Microseconds of one layer. */
export interface SpanTimes {
  readonly launchUs: number;
  readonly p10Us: number;
  readonly p90Us: number;
  /** Layers that a replay goes through. */
  readonly measured: number;
  /** Decode: bytes of KV pages that a layer reads. */
  readonly bytes?: number;
}

export interface DecodeOptions {
  readonly batch: number;
  readonly replays: number;
  /** At most: each has caches of its own, for layers so small that all copies of one session fit the GPU's cache. */
  readonly sessions: number;
}

/** Bytes that are read before a page is read again, as a multiple of the GPU's L2 cache: none is found there. */
const cachesPerReplay = 4;
/** Fewer layers would let the start of a graph count. */
const fewestLayers = 4;
/** Steps before N tokens are reached, which all read the same pages (bench/decode/measureDecode.ts). */
const freeSteps = 64;
const mostWarmUps = 8;
/** Of a replay of prefill. */
const replayMs = 3;
const prefillSamples = 7;

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
const enough = (wanted: number, layers: readonly number[]): readonly number[] => layers.slice(0, clamp(Math.ceil(wanted), Math.min(fewestLayers, layers.length), layers.length));

/** Replays of CUDA graphs of decode calls (append and attention in one launch) with rings full, one layer behind the other. */
export function decodeTimes(device: Device, plan: Plan, prompt: Tensors, { length, span, layers: copies }: SpanCase, { batch, replays, sessions: mostSessions }: DecodeOptions): SpanTimes {
  const target = cachesPerReplay * device.l2Bytes;
  const bytesOf = (layers: readonly number[]): number => plan.memory({ batch, lengthBound: length, layers }).cache;
  const layers = enough(target / bytesOf(copies.slice(0, 1)), copies);
  const count = clamp(Math.ceil(target / bytesOf(layers)), 1, mostSessions);
  const step = tensors(device, plan.definition, batch, plan.elementTypes[0]);
  const sessions: Session[] = [];
  const graphs: ReturnType<Session['capture']>[] = [];
  try {
    for (let n = 0; n < count; n += 1) {
      const session = plan.createSession({ batch, lengthBound: length, layers });
      sessions.push(session);
      checkSpans(session, plan, layers, span);
      fillRings(session, layers, prompt, length - freeSteps);
      graphs.push(session.capture(() => layers.forEach((layer) => session.decode(layer, step))));
    }
    const replay = (): void => graphs.forEach((graph) => graph.launch());
    const measured = Math.min(replays, freeSteps - 1);
    for (let n = 0; n < Math.min(mostWarmUps, freeSteps - measured); n += 1) replay();
    const times = Array.from({ length: measured }, () => (device.measure(replay) * 1000) / (count * layers.length));
    const bytes = sessions[0]!.pagesInUse(layers[0]!) * plan.definition.layout.pageBytes;
    return { ...spread(times), measured: count * layers.length, bytes };
  } finally {
    graphs.forEach((graph) => graph.dispose());
    sessions.forEach((session) => session.dispose());
    disposeAll(step);
  }
}

/**
 * A CUDA graph of prefills (append, then attention) of one prompt of N tokens, one layer behind the other; a graph, because the host takes longer than a
 * short span. Each replay begins with empty rings, and after a rest.
 */
export function prefillTimes(device: Device, plan: Plan, prompt: Tensors, { length, span, layers: copies }: SpanCase): SpanTimes {
  using session = plan.createSession({ batch: 1, lengthBound: length, layers: copies });
  checkSpans(session, plan, copies, span);
  const call = { ...prompt, cuSeqlens: [0, length] };
  const prefill = (layers: readonly number[]): void => layers.forEach((layer) => session.prefill(layer, call));
  // The first call makes the lists of work, which all copies share and a capture could not make.
  const once = copies.slice(0, 1);
  prefill(once);
  session.reset();
  const layers = enough(replayMs / device.measure(() => prefill(once)), copies);
  session.reset();
  using graph = device.capture(() => prefill(layers));
  const times = restedTimes(device, () => graph.launch(), prefillSamples, () => session.reset());
  return { ...spread(times.map(({ ms }) => (ms * 1000) / layers.length)), measured: layers.length };
}

const spread = (times: readonly number[]): Pick<SpanTimes, 'launchUs' | 'p10Us' | 'p90Us'> => ({
  launchUs: median(times),
  p10Us: quantile(times, 0.1),
  p90Us: quantile(times, 0.9),
});

function checkSpans(session: Session, plan: Plan, layers: readonly number[], span: number): void {
  const wrong = layers.find((layer) => session.windows(layer).some((window) => window + plan.definition.layers[layer]!.sink !== span));
  if (wrong !== undefined) throw new Error(`layer ${wrong} does not keep ${span} tokens`);
}
