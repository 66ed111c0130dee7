/** Time of one decode step of a plan with its rings full, and the bytes of KV pages that it reads. */
import type { Device, Plan } from 'moa-compile/runtime';
import { disposeAll, tensors, type Tensors } from '../lib/buffers.ts';
import { chooseLayersOf } from '../lib/chooseLayers.ts';
import { fillRings } from '../lib/fillRings.ts';
import { median, quantile, significant } from '../lib/statistics.ts';
import type { Times } from './results.ts';

export interface DecodeCase {
  /** N: the rings hold all tokens but the last 64 before the first step. */
  readonly tokens: number;
  readonly batch: number;
  readonly layers: readonly number[];
  /** At most; 25 by default. */
  readonly replays?: number;
}

export interface MeasuredDecode extends Times {
  /** The window of each query head, by layer. */
  readonly windows: Readonly<Record<number, readonly number[]>>;
}

/** A replay reads as much, so that no cache of the GPU keeps a layer until it comes again. */
const bytesOfReplay = 1 << 30;
/** Steps before N tokens are reached. They all read the same pages: the last page of 64 tokens is in use from its first token on. */
const freeSteps = 64;
/** Of a step, so that what comes before its first layer counts about as in a model. */
const fewestLayers = 8;
/** Steps at once, behind another one: the GPU does not wait for the host, as it does not while a model runs. */
const queued = 3;
const mostWarmUps = 8;

/** The layers that are measured at N `tokens`. */
export function layersToMeasure(plan: Plan, tokens: number, batch: number): number[] {
  const { layers } = plan.memory({ batch, lengthBound: tokens });
  return chooseLayersOf(layers.map(({ bytes }) => bytes), bytesOfReplay, fewestLayers);
}

/** What `measureDecode` fills rings from: made once for all cases of one N. */
export const promptOf = (device: Device, plan: Plan, tokens: number): Tensors => tensors(device, plan.definition, tokens - freeSteps);

/** One CUDA graph of a step over `layers`, replayed: microseconds and bytes are those of the graph over its layers. */
export function measureDecode(device: Device, plan: Plan, prompt: Tensors, { tokens, batch, layers, replays: mostReplays = 25 }: DecodeCase): MeasuredDecode {
  using session = plan.createSession({ batch, lengthBound: tokens, layers, rope: 'none' });
  fillRings(session, layers, prompt, tokens - freeSteps);
  const step = tensors(device, plan.definition, batch);
  const launches = Math.floor(freeSteps / (queued + 1));
  const warmUps = Math.min(mostWarmUps, launches - 1);
  const replays = Math.min(mostReplays, launches - warmUps);
  try {
    using graph = session.capture(() => layers.forEach((layer) => session.decode(layer, step)));
    const launch = (): void => {
      for (let n = 0; n < queued; n += 1) graph.launch();
    };
    for (let n = 0; n < warmUps; n += 1) launch();
    const times = Array.from({ length: replays }, () => {
      graph.launch();
      return (device.measure(launch) * 1000) / (queued * layers.length);
    });
    const bytes = (layers.reduce((sum, layer) => sum + session.pagesInUse(layer), 0) * plan.definition.layout.pageBytes) / layers.length;
    const us = median(times);
    return {
      us: significant(us),
      p10Us: significant(quantile(times, 0.1)),
      p90Us: significant(quantile(times, 0.9)),
      bytes: Math.round(bytes),
      tbps: significant(bytes / us / 1e6),
      windows: Object.fromEntries(layers.map((layer) => [layer, [...session.windows(layer)]])),
    };
  } finally {
    disposeAll(step);
  }
}
