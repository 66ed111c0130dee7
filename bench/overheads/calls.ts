/** The calls of a serving loop, through the public API, and what their kernels take alone. All layers, lengths that the session has not seen before. */
import type { Device, DeviceBuffer, Plan, Session } from 'moa-compile/runtime';
import { disposeAll, tensors } from '../lib/buffers.ts';
import { rest } from '../lib/restedTimes.ts';
import { median, significant } from '../lib/statistics.ts';
import { cuSeqlensOf } from '../prefill/scenarios.ts';

/** How large the calls are. */
export interface Sizes {
  /** Tokens of the long prompt, and of its chunks. */
  readonly prompt: number;
  readonly chunk: number;
  /** Prompts at once, and their tokens. */
  readonly prompts: number;
  readonly promptTokens: number;
  /** Slots of a serving session, and the bound of its sequences. */
  readonly slots: number;
  readonly bound: number;
  /** Tokens of the sequence that is forked. */
  readonly forked: number;
  /** Rows of a captured step, and tokens of the chunk in it; all other slots decode. */
  readonly budget: number;
  readonly mixed: number;
  readonly samples: number;
}

export const usualSizes: Sizes = { prompt: 16384, chunk: 2048, prompts: 64, promptTokens: 512, slots: 32, bound: 8192, forked: 1030, budget: 1024, mixed: 512, samples: 5 };
/** To try the program. */
export const smallSizes: Sizes = { prompt: 192, chunk: 64, prompts: 4, promptTokens: 48, slots: 4, bound: 128, forked: 70, budget: 64, mixed: 32, samples: 1 };

export interface Row {
  readonly call: string;
  /** From the start of the call to the end of its work on the device. */
  readonly ms: number;
  /** Until the call returns. */
  readonly hostMs: number;
  /** The same launches in a CUDA graph, lists of work made before; absent where a call is no kernels. */
  readonly kernelsMs?: number;
  /** Of the pool, that sequences hold after the call. */
  readonly heldBytes?: number;
}

interface Time {
  readonly ms: number;
  readonly hostMs: number;
}

/** Measures every call of `plan`; `add` is told of each. */
export function measureCalls(device: Device, plan: Plan, sizes: Sizes, add: (row: Row) => void): void {
  for (const measure of [prefillOfOne, prefillOfMany, chunks, newSession, changes, samplesOfOne, eagerDecode, mixedSteps]) measure(device, plan, sizes, add);
}

function prefillOfOne(device: Device, plan: Plan, { prompt, samples }: Sizes, add: (row: Row) => void): void {
  prefills(device, plan, `prefill of ${prompt} tokens`, Array.from({ length: warmUps.prefill + samples }, (_, n) => [prompt - n]), prompt, add);
}

function prefillOfMany(device: Device, plan: Plan, { prompts, promptTokens, samples }: Sizes, add: (row: Row) => void): void {
  // As many tokens in every sample, shared out in another way.
  const lengths = (sample: number): number[] => Array.from({ length: prompts }, (_, n) => promptTokens - ((n + sample) % Math.min(prompts, 32)));
  prefills(device, plan, `${prompts} prompts of ${promptTokens}`, Array.from({ length: warmUps.prefill + samples }, (_, n) => lengths(n)), promptTokens, add);
}

/** As long as the longest of these calls takes. */
const restMs = 100;
/** Samples that are not counted: the first calls of a process are slower than all that come. */
const warmUps = { prefill: 10, session: 5, change: 10, decode: 40, step: 5 } as const;

/**
 * Each sample has lengths of its own. A call and its kernels alone come in turns, each behind a rest as long as itself: one that came behind many others would be measured at
 * a lower clock.
 */
function prefills(device: Device, plan: Plan, call: string, lengths: readonly (readonly number[])[], bound: number, add: (row: Row) => void): void {
  using session = plan.createSession({ batch: lengths[0]!.length, lengthBound: bound, rope: 'none' });
  const layers = layersOf(plan);
  const input = tensors(device, plan.definition, Math.max(...lengths.map((of) => sumOf(of))), session.elementType);
  try {
    const warm = { ...input, cuSeqlens: cuSeqlensOf(lengths[0]!.map((length) => length - 3)) };
    layers.forEach((layer) => session.prefill(layer, warm));
    const prefill = (given: Parameters<Session['prefill']>[1]): Time => {
      session.reset();
      return time(device, () => layers.forEach((layer) => session.prefill(layer, given)));
    };
    const all = lengths.map((of) => ({ ...input, cuSeqlens: cuSeqlensOf(of) }));
    all.slice(0, warmUps.prefill).forEach(prefill);
    const samples = all.slice(warmUps.prefill).map((given) => {
      device.synchronize();
      rest(restMs);
      const whole = prefill(given);
      session.reset();
      // The lists of work of these lengths are still there.
      using graph = device.capture(() => layers.forEach((layer) => session.recordPrefill(layer, given)));
      graph.launch(); // the first launch of a graph brings it to the device
      session.reset();
      device.synchronize();
      rest(restMs);
      return { whole, kernels: device.measure(() => graph.launch()) };
    });
    add({ call, ...middle(samples.map(({ whole }) => whole)), kernelsMs: significant(median(samples.map(({ kernels }) => kernels)), 4) });
  } finally {
    disposeAll(input);
  }
}

/** A prompt in chunks behind its first one: as many calls as chunks, each a whole model's. */
function chunks(device: Device, plan: Plan, { prompt, chunk, samples }: Sizes, add: (row: Row) => void): void {
  using session = plan.createSession({ batch: 1, lengthBound: prompt, rope: 'none' });
  const layers = layersOf(plan);
  const input = tensors(device, plan.definition, prompt, session.elementType);
  const prefill = (tokens: number): void => layers.forEach((layer) => session.prefill(layer, { ...input, cuSeqlens: [0, tokens] }));
  const starts = Array.from({ length: Math.floor(prompt / chunk) - 1 }, (_, n) => (n + 1) * chunk);
  try {
    const times = Array.from({ length: samples + 1 }, (_, sample) => {
      session.reset();
      prefill(chunk - sample); // so that no chunk begins where one began before
      return time(device, () => starts.forEach(() => prefill(chunk)));
    });
    const kernels = starts.map((start) => {
      session.reset();
      prefill(start);
      const given = { ...input, cuSeqlens: [0, chunk] };
      layers.forEach((layer) => session.attend(layer, given)); // makes the lists of work
      using graph = device.capture(() => layers.forEach((layer) => session.recordPrefill(layer, given)));
      return device.measure(() => graph.launch());
    });
    add({ call: `${starts.length} chunks of ${chunk}`, ...middle(times.slice(1)), kernelsMs: significant(sumOf(kernels), 4) });
  } finally {
    disposeAll(input);
  }
}

function newSession(device: Device, plan: Plan, { slots, bound, samples }: Sizes, add: (row: Row) => void): void {
  const options = { batch: slots, lengthBound: bound, slots: 'free', rope: 'none' } as const;
  const bytes = plan.memory(options).cache;
  const allocations: Time[] = [];
  const sessions: Time[] = [];
  for (let n = 0; n < warmUps.session + samples; n += 1) {
    let cache: DeviceBuffer | undefined;
    allocations.push(time(device, () => (cache = device.alloc(bytes))));
    cache!.dispose();
    waitForDriver();
    let session: Session | undefined;
    sessions.push(time(device, () => (session = plan.createSession(options))));
    session!.dispose();
    waitForDriver();
  }
  add({ call: `a session's cache alone, allocated (${slots} slots, ${bound})`, ...middle(allocations.slice(warmUps.session)) });
  add({ call: `a new session (${slots} slots, ${bound})`, ...middle(sessions.slice(warmUps.session)) });
}

/** Sequences that come, go, fork and are cut, beside others that are there. */
function changes(device: Device, plan: Plan, { slots, bound, forked, samples }: Sizes, add: (row: Row) => void): void {
  using session = plan.createSession({ batch: slots, lengthBound: bound, slots: 'free', rope: 'none' });
  const layers = layersOf(plan);
  const input = tensors(device, plan.definition, forked, session.elementType);
  try {
    for (let n = 0; n < slots - 2; n += 1) session.add();
    const cuSeqlens = Int32Array.from({ length: slots + 1 }, (_, at) => (at === 0 ? 0 : forked));
    layers.forEach((layer) => session.prefill(layer, { ...input, cuSeqlens }));
    const times: Record<string, Time[]> = { add: [], remove: [], [`fork of ${forked} tokens`]: [], truncate: [] };
    for (let n = 0; n < warmUps.change + 5 * samples; n += 1) {
      let slot = 0;
      times['add']!.push(time(device, () => (slot = session.add({ lengthBound: bound - n }))));
      times['remove']!.push(time(device, () => session.remove(slot)));
      times[`fork of ${forked} tokens`]!.push(time(device, () => (slot = session.fork(0))));
      times['truncate']!.push(time(device, () => session.truncate(slot, forked - 1)));
      session.remove(slot);
    }
    for (const [call, all] of Object.entries(times)) add({ call, ...middle(all.slice(warmUps.change)) });
  } finally {
    disposeAll(input);
  }
}

function eagerDecode(device: Device, plan: Plan, { slots, bound, samples }: Sizes, add: (row: Row) => void): void {
  using session = plan.createSession({ batch: slots, lengthBound: bound, rope: 'none' });
  const layers = layersOf(plan);
  const step = tensors(device, plan.definition, slots, session.elementType);
  try {
    const decode = (): void => layers.forEach((layer) => session.decode(layer, step));
    const times = Array.from({ length: warmUps.decode + 5 * samples }, () => time(device, decode));
    using graph = session.capture(decode);
    const kernels = Array.from({ length: samples }, () => device.measure(() => graph.launch()));
    add({ call: `eager decode of ${layers.length} layers, batch ${slots}, short sequences`, ...middle(times.slice(warmUps.decode)), kernelsMs: significant(median(kernels), 4) });
  } finally {
    disposeAll(step);
  }
}

/** Eight samples of one prompt: it is prefilled once, forked, and each sequence decodes a token of its own. */
function samplesOfOne(device: Device, plan: Plan, { prompt, samples }: Sizes, add: (row: Row) => void): void {
  const count = 8;
  using session = plan.createSession({ batch: count, lengthBound: prompt + 64, slots: 'free', rope: 'none' });
  const layers = layersOf(plan);
  const input = tensors(device, plan.definition, prompt, session.elementType);
  const step = tensors(device, plan.definition, count, session.elementType);
  const heldBytes = (): number => session.usage().held * session.usage().pageBytes;
  try {
    const first = session.add();
    const rows: Row[][] = [];
    for (let n = 0; n <= samples; n += 1) {
      session.truncate(first, 0);
      const ends = Int32Array.from({ length: count + 1 }, (_, slot) => (slot > first ? prompt - n : 0));
      const prefill = time(device, () => layers.forEach((layer) => session.prefill(layer, { ...input, cuSeqlens: ends })));
      const alone = heldBytes();
      const forks = time(device, () => {
        for (let sample = 1; sample < count; sample += 1) session.fork(first);
      });
      const forked = heldBytes();
      const decode = time(device, () => layers.forEach((layer) => session.decode(layer, step)));
      rows.push([
        { call: `a prompt of ${prompt}, prefilled once`, ...prefill, heldBytes: alone },
        { call: `seven forks of it`, ...forks, heldBytes: forked },
        { call: `the first tokens of the eight`, ...decode, heldBytes: heldBytes() },
      ]);
      for (let slot = 0; slot < count; slot += 1) if (slot !== first) session.remove(slot);
    }
    const last = rows.at(-1)!;
    last.forEach((row, index) => add({ ...row, ...middle(rows.slice(1).map((of) => of[index]!)) }));
  } finally {
    disposeAll(input);
    disposeAll(step);
  }
}

/** A captured step for any mixture: one slot brings a chunk, all others a token, and who does changes from launch to launch. */
function mixedSteps(device: Device, plan: Plan, { slots, bound, budget, mixed, samples }: Sizes, add: (row: Row) => void): void {
  using session = plan.createSession({ batch: slots, lengthBound: bound, rope: 'none' });
  const layers = layersOf(plan);
  const rows = tensors(device, plan.definition, budget, session.elementType);
  const numbers = session.newTokens({ budget });
  try {
    using graph = session.capture(() => layers.forEach((layer) => session.step(layer, { ...rows, cuSeqlens: numbers })));
    const launch = (n: number): void => {
      numbers.set(Int32Array.from({ length: slots }, (_, slot) => (slot === n % slots ? mixed : 1)));
      graph.launch();
    };
    const times = Array.from({ length: warmUps.step + samples }, (_, n) => time(device, () => launch(n)));
    const kernels = Array.from({ length: samples }, (_, n) => {
      numbers.set(Int32Array.from({ length: slots }, (_one, slot) => (slot === n % slots ? mixed : 1)));
      return device.measure(() => graph.launch());
    });
    add({ call: `captured step: a chunk of ${mixed} and ${slots - 1} tokens`, ...middle(times.slice(warmUps.step)), kernelsMs: significant(median(kernels), 4) });
  } finally {
    disposeAll(rows);
  }
}

/** The driver clears memory that was freed, some hundred GB in a second, and who allocates meanwhile waits for it. */
function waitForDriver(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
}

/** Of work on an idle device. */
function time(device: Device, work: () => void): Time {
  device.synchronize();
  const start = performance.now();
  work();
  const returned = performance.now();
  device.synchronize();
  return { ms: performance.now() - start, hostMs: returned - start };
}

const middle = (times: readonly Time[]): Time => ({ ms: significant(median(times.map(({ ms }) => ms)), 4), hostMs: significant(median(times.map(({ hostMs }) => hostMs)), 4) });
const layersOf = ({ definition }: Plan): number[] => definition.layers.map((_, index) => definition.shape.layerNumbers?.[index] ?? index);
const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
