/**
 * Random histories of two or three sessions and the graphs that contain them, against a plain model: lengths by session, layer and slot, and for each graph a list of what it
 * adds. What the device counts shows in the LSE: queries and keys are zeros, so a row that attends n keys has the LSE ln(n).
 */
import fc from 'fast-check';
import type { Device } from '../../src/runtime/device.ts';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import type { Plan } from '../../src/runtime/plan.ts';
import { RuntimeError } from '../../src/runtime/runtimeError.ts';
import type { Session } from '../../src/runtime/session.ts';
import type { CapturedStep } from '../../src/runtime/sessionTypes.ts';
import type { PlanSpec } from './plans.ts';

/** Rules that keep all tokens of these short sequences; kernels that other tests build as well. */
export const graphSpec: PlanSpec = { shape: 'bf16_d64_2x1', rules: [[[0, 1, 1], [0, 1, 1]], [[128, 0, 1], [0, 1, 1]]], rope: false, slack: 64, decodeTokens: 16 };

const layers = 2;
const batch = 2;
const bound = 14;
const mostTokens = 3;

/** One decode call of a session. */
export interface Call {
  readonly session: number;
  readonly layer: number;
  readonly tokens: number;
  /** A count for each slot; `device`: those that lie in the session's buffer when it is launched. */
  readonly counts?: readonly number[] | 'device';
}

export type Step =
  | { readonly kind: 'decode'; readonly call: Call }
  | { readonly kind: 'prefill'; readonly session: number; readonly counts: readonly number[] }
  /** `by`: a session, or -1 for the device. `fails`: the function throws at its end. */
  | { readonly kind: 'capture'; readonly by: number; readonly calls: readonly Call[]; readonly fails: boolean }
  | { readonly kind: 'launch'; readonly graph: number; readonly times: number }
  /** Writes the session's buffer of counts. */
  | { readonly kind: 'counts'; readonly session: number; readonly counts: readonly number[] }
  | { readonly kind: 'join'; readonly session: number; readonly bound: number }
  | { readonly kind: 'leave'; readonly session: number; readonly slot: number }
  | { readonly kind: 'truncate'; readonly session: number; readonly slot: number; readonly back: number }
  | { readonly kind: 'reset'; readonly session: number }
  | { readonly kind: 'dispose'; readonly session: number };

interface ModelSession {
  /** `[layer][slot]`; -1 of a free slot. */
  readonly lengths: number[][];
  readonly bounds: number[];
  /** In the session's buffer. */
  counts: readonly number[];
  disposed: boolean;
}

interface Tensors {
  readonly q: DeviceBuffer;
  readonly k: DeviceBuffer;
  readonly v: DeviceBuffer;
  readonly out: DeviceBuffer;
  readonly lse: DeviceBuffer;
}

interface ModelGraph {
  readonly step: CapturedStep;
  readonly by: number;
  readonly calls: readonly Call[];
  /** Layers of a session that had equal lengths when they were captured in one step, and are to have them at every launch. */
  readonly inStep: readonly { readonly session: number; readonly layers: readonly [number, number] }[];
}

/** What a history has met, by name. */
export type Met = Map<string, number>;

class History {
  readonly #device: Device;
  readonly #sessions: readonly Session[];
  readonly #models: readonly ModelSession[];
  readonly #tensors: Tensors;
  /** `[session]`: each has an LSE of its own, so that a graph shows the last rows of all. */
  readonly #lse: readonly DeviceBuffer[];
  readonly #counts: readonly DeviceBuffer[];
  readonly #graphs: ModelGraph[] = [];
  readonly #met: Met;
  /** Whether kernels compute: those of a fake driver don't. */
  readonly #computes: boolean;

  constructor(device: Device, plan: Plan, sessions: number, computes: boolean, met: Met) {
    const { queryHeads, kvHeads, headDim } = plan.definition.shape;
    this.#device = device;
    this.#met = met;
    this.#computes = computes;
    this.#sessions = Array.from({ length: sessions }, (_, n) =>
      plan.createSession({ batch, lengthBound: bound, decodeTokens: mostTokens, slots: n === 0 ? 'held' : 'free' }),
    );
    this.#models = this.#sessions.map((_, n) => ({
      lengths: Array.from({ length: layers }, () => Array<number>(batch).fill(n === 0 ? 0 : -1)),
      bounds: Array<number>(batch).fill(n === 0 ? bound : 0),
      counts: Array<number>(batch).fill(1),
      disposed: false,
    }));
    const zeros = (heads: number): DeviceBuffer => device.alloc(batch * bound * heads * headDim * 2).fill(0);
    this.#tensors = { q: zeros(queryHeads), k: zeros(kvHeads), v: zeros(kvHeads), out: zeros(queryHeads), lse: device.alloc(batch * bound * queryHeads * 4) };
    this.#lse = this.#sessions.map(() => device.alloc(batch * bound * queryHeads * 4).fill(0xff));
    this.#counts = this.#sessions.map(() => device.upload(new Int32Array(batch).fill(1)));
  }

  run(step: Step): void {
    this.#met.set(step.kind, (this.#met.get(step.kind) ?? 0) + 1);
    switch (step.kind) {
      case 'decode':
        return this.#decode(step.call);
      case 'prefill':
        return this.#prefill(step.session, step.counts);
      case 'capture':
        return this.#capture(step.by, step.calls, step.fails);
      case 'launch':
        for (let n = 0; n < step.times; n += 1) this.#launch(step.graph);
        return;
      case 'counts':
        this.#counts[step.session]!.write(Int32Array.from(step.counts));
        this.#models[step.session]!.counts = step.counts;
        return;
      case 'join':
        return this.#join(step.session, step.bound);
      default:
        return this.#change(step);
    }
  }

  end(): void {
    this.#graphs.forEach(({ step }) => step.dispose());
    this.#sessions.forEach((session) => session.dispose());
    [...Object.values(this.#tensors), ...this.#lse, ...this.#counts].forEach((buffer: DeviceBuffer) => buffer.dispose());
  }

  #call({ session, layer, tokens, counts: given }: Call): void {
    const counts = given === 'device' ? this.#counts[session]! : given;
    this.#sessions[session]!.decode(layer, { ...this.#tensors, lse: this.#lse[session]!, tokens, ...(counts === undefined ? {} : { counts }) });
  }

  #decode(call: Call): void {
    const model = this.#models[call.session]!;
    if (model.disposed) return this.#refused('MOA6005', () => this.#call(call));
    if (!legal(this.#models, [call])) return this.#refused('MOA6113', () => this.#call(call));
    if (!fits(this.#models, [call])) return this.#refused('MOA6101', () => this.#call(call));
    if (call.counts !== undefined) this.#note('counts eager');
    this.#call(call);
    add(this.#models, [call]);
    this.#check();
    this.#checkRows(call);
  }

  #prefill(session: number, counts: readonly number[]): void {
    const model = this.#models[session]!;
    if (model.disposed) return;
    const added = model.bounds.map((most, slot) => (most === 0 ? 0 : Math.min(counts[slot]!, most - Math.max(...model.lengths.map((lengths) => lengths[slot]!)))));
    const cuSeqlens = [0, added[0]!, added[0]! + added[1]!];
    for (let layer = 0; layer < layers; layer += 1) this.#sessions[session]!.prefill(layer, { ...this.#tensors, cuSeqlens });
    model.lengths.forEach((lengths) => added.forEach((tokens, slot) => (lengths[slot]! += tokens)));
    this.#check();
  }

  #capture(by: number, calls: readonly Call[], fails: boolean): void {
    const reason = new Error('of the callback');
    const usable = calls.filter(({ session }) => !this.#models[session]!.disposed);
    const record = (): void => {
      usable.forEach((call, n) => {
        this.#call(call);
        // What a capture does not allow is refused, and the capture goes on.
        const others: readonly (() => unknown)[] = [
          () => this.#sessions[call.session]!.capture(() => this.#call(call)),
          () => this.#device.capture(() => this.#call(call)),
          () => this.#sessions[call.session]!.reset(),
          () => this.#sessions[call.session]!.dispose(),
          () => this.#sessions[call.session]!.prefill(0, { ...this.#tensors, cuSeqlens: [0, 0, 0] }),
          () => this.#graphs[0]?.step.launch() ?? this.#sessions[call.session]!.reset(),
        ];
        expectCode('MOA6011', others[n % others.length]!);
      });
      if (fails) throw reason;
    };
    if (by >= 0 && this.#models[by]!.disposed) return this.#refused('MOA6005', () => this.#sessions[by]!.capture(record));
    const capture = (): CapturedStep => (by < 0 ? this.#device.capture(record) : this.#sessions[by]!.capture(record));
    if (fails) {
      try {
        capture();
      } catch (error) {
        if (error !== reason) throw error;
      }
    } else this.#graphs.push({ step: capture(), by, calls: usable, inStep: pairsInStep(this.#models, usable) });
    this.#check();
  }

  #launch(graph: number): void {
    if (this.#graphs.length === 0) return;
    const { step, by, calls, inStep } = this.#graphs[graph % this.#graphs.length]!;
    if (calls.some(({ session }) => this.#models[session]!.disposed) || (by >= 0 && this.#models[by]!.disposed)) return this.#refused('MOA6005', () => step.launch());
    if (inStep.some(({ session, layers: [a, b] }) => this.#models[session]!.lengths[a]!.join() !== this.#models[session]!.lengths[b]!.join())) {
      return this.#refused(['MOA6011', ...(legal(this.#models, calls) ? [] : ['MOA6113']), ...(fits(this.#models, calls) ? [] : ['MOA6101'])], () => step.launch());
    }
    if (!legal(this.#models, calls)) return this.#refused(fits(this.#models, calls) ? ['MOA6113'] : ['MOA6113', 'MOA6101'], () => step.launch());
    if (!fits(this.#models, calls)) return this.#refused('MOA6101', () => step.launch());
    if (calls.some(({ counts }) => counts === 'device')) this.#note('counts of a buffer');
    if (calls.some(({ counts }) => counts !== undefined && counts !== 'device')) this.#note('counts of an array');
    step.launch();
    add(this.#models, calls);
    if (new Set(calls.map(({ session }) => session)).size > 1) this.#note('several sessions');
    this.#check();
    this.#sessions.forEach((_, session) => {
      const last = calls.findLast((call) => call.session === session);
      if (last !== undefined) this.#checkRows(last);
    });
  }

  #join(session: number, wanted: number): void {
    const model = this.#models[session]!;
    if (model.disposed) return this.#refused('MOA6005', () => this.#sessions[session]!.join());
    const slot = model.bounds.indexOf(0);
    if (slot < 0) return this.#refused('MOA6108', () => this.#sessions[session]!.join());
    this.#sessions[session]!.join({ lengthBound: wanted });
    model.bounds[slot] = wanted;
    model.lengths.forEach((lengths) => (lengths[slot] = 0));
    this.#check();
  }

  #change(step: Extract<Step, { kind: 'leave' | 'truncate' | 'reset' | 'dispose' }>): void {
    const [session, model] = [this.#sessions[step.session]!, this.#models[step.session]!];
    if (model.disposed) return;
    if (step.kind === 'reset') {
      session.reset();
      model.lengths.forEach((lengths) => lengths.forEach((length, slot) => (lengths[slot] = Math.min(0, length))));
    } else if (step.kind === 'dispose') {
      // One session is left, so that a history does not end early.
      if (this.#models.filter(({ disposed }) => !disposed).length === 1) return;
      session.dispose();
      model.disposed = true;
    } else if (model.bounds[step.slot] === 0) {
      return this.#refused('MOA6107', () => session.leave(step.slot));
    } else if (step.kind === 'leave') {
      session.leave(step.slot);
      model.bounds[step.slot] = 0;
      model.lengths.forEach((lengths) => (lengths[step.slot] = -1));
    } else {
      const least = Math.min(...model.lengths.map((lengths) => lengths[step.slot]!));
      const length = Math.max(0, least - step.back);
      session.truncate(step.slot, length);
      model.lengths.forEach((lengths) => (lengths[step.slot] = length));
    }
    this.#check();
  }

  /** What is refused changes nothing, of any session. */
  #refused(codes: string | readonly string[], call: () => unknown): void {
    const all = [codes].flat();
    this.#note(all[0]!);
    expectCode(all, call);
    this.#check();
  }

  #note(what: string): void {
    this.#met.set(what, (this.#met.get(what) ?? 0) + 1);
  }

  #check(): void {
    this.#models.forEach(({ lengths, disposed }, session) => {
      if (disposed) return;
      for (let layer = 0; layer < layers; layer += 1) {
        const found = [...this.#sessions[session]!.lengths(layer)];
        if (found.join() !== lengths[layer]!.join()) throw new Error(`session ${session}, layer ${layer}: it counts ${found.join()}, and the model ${lengths[layer]!.join()}`);
      }
    });
  }

  /** The rows of the last decode of a session attend as many keys as the model says. */
  #checkRows(call: Call): void {
    const { session, layer, tokens } = call;
    if (!this.#computes) return;
    const heads = 2;
    const lse = this.#lse[session]!.read(new Float32Array(batch * tokens * heads));
    this.#models[session]!.bounds.forEach((most, slot) => {
      if (most === 0) return;
      for (let token = 0; token < tokens; token += 1) {
        const count = countOf(this.#models, call, slot);
        const keys = token < count ? this.#models[session]!.lengths[layer]![slot]! - count + token + 1 : 0;
        const found = lse[(slot * tokens + token) * heads]!;
        if (keys === 0 ? found !== -Infinity : !(Math.abs(found - Math.log(keys)) < 1e-3)) throw new Error(`session ${session}, layer ${layer}, slot ${slot}, token ${token}: it attends ${Math.exp(found)} keys, not ${keys}`);
      }
    });
  }
}

/** Layers that share a plan: those with the same calls as the one that planned last, and equal lengths. */
function pairsInStep(models: readonly ModelSession[], calls: readonly Call[]): ModelGraph['inStep'] {
  const pairs: { session: number; layers: [number, number] }[] = [];
  const before = new Map<string, string>();
  const planned = new Map<string, { readonly step: string; readonly layer: number }>();
  for (const { session, layer, tokens, counts } of calls) {
    const step = `${before.get(`${session} ${layer}`) ?? ''}; ${tokens} ${counts?.toString() ?? ''}`;
    before.set(`${session} ${layer}`, step);
    const plan = `${session} ${tokens === 1 && counts === undefined ? 'one' : 'many'}`;
    const last = planned.get(plan);
    const lengths = (of: number): string => models[session]!.lengths[of]!.join();
    if (last !== undefined && last.step === step && last.layer !== layer && lengths(last.layer) === lengths(layer)) pairs.push({ session, layers: [last.layer, layer] });
    else planned.set(plan, { step, layer });
  }
  return pairs;
}

/** Whether every session has room for what all calls add. */
function fits(models: readonly ModelSession[], calls: readonly Call[]): boolean {
  const copies = structuredClone(models) as ModelSession[];
  add(copies, calls);
  return copies.every(({ lengths, bounds }) => lengths.every((ofLayer) => ofLayer.every((length, slot) => length <= bounds[slot]!)));
}

function add(models: readonly ModelSession[], calls: readonly Call[]): void {
  for (const call of calls) {
    const { lengths, bounds } = models[call.session]!;
    bounds.forEach((most, slot) => {
      if (most > 0) lengths[call.layer]![slot]! += countOf(models, call, slot);
    });
  }
}

/** Tokens that a call adds to a slot. */
function countOf(models: readonly ModelSession[], { session, tokens, counts }: Call, slot: number): number {
  if (counts === undefined) return tokens;
  return counts === 'device' ? models[session]!.counts[slot]! : counts[slot]!;
}

/** Whether no count is over the tokens of its call. */
const legal = (models: readonly ModelSession[], calls: readonly Call[]): boolean => calls.every((call) => [0, 1].every((slot) => countOf(models, call, slot) <= call.tokens));

function expectCode(codes: string | readonly string[], call: () => unknown): void {
  try {
    call();
  } catch (error) {
    if (error instanceof RuntimeError && codes.includes(error.code)) return;
    throw error;
  }
  throw new Error(`${String(codes)} was to be thrown`);
}

/** Runs a history from its beginning to its end. */
export function runHistory(device: Device, plan: Plan, sessions: number, steps: readonly Step[], { computes = true, met = new Map() as Met } = {}): void {
  const history = new History(device, plan, sessions, computes, met);
  const done: Step[] = [];
  try {
    for (const step of steps) {
      done.push(step);
      history.run(step);
    }
  } catch (error) {
    throw new Error(`${(error as Error).message}\n    after ${JSON.stringify(done)}`, { cause: error });
  } finally {
    history.end();
  }
}

/** A graph of two sessions is launched past the bound of one, again after a truncation, and outlives a session. */
export const fixedHistory: readonly Step[] = [
  { kind: 'join', session: 1, bound: 9 },
  { kind: 'decode', call: { session: 1, layer: 0, tokens: 1 } },
  { kind: 'capture', by: 0, fails: false, calls: [0, 1].flatMap((session) => [0, 1].map((layer) => ({ session, layer, tokens: 1 }))) },
  { kind: 'launch', graph: 0, times: 3 },
  { kind: 'join', session: 1, bound },
  { kind: 'capture', by: -1, fails: false, calls: [{ session: 1, layer: 0, tokens: 1 }, { session: 1, layer: 0, tokens: 2 }, { session: 0, layer: 1, tokens: 3 }] },
  { kind: 'launch', graph: 1, times: 2 },
  { kind: 'capture', by: 1, fails: true, calls: [{ session: 0, layer: 0, tokens: 1 }, { session: 1, layer: 1, tokens: 1 }] },
  { kind: 'launch', graph: 0, times: 9 },
  { kind: 'truncate', session: 1, slot: 0, back: 1 },
  { kind: 'launch', graph: 0, times: 2 },
  { kind: 'reset', session: 0 },
  { kind: 'capture', by: -1, fails: false, calls: [{ session: 0, layer: 0, tokens: 3, counts: 'device' }, { session: 1, layer: 0, tokens: 2, counts: [0, 1] }, { session: 0, layer: 0, tokens: 1 }] },
  { kind: 'counts', session: 0, counts: [0, 3] },
  { kind: 'launch', graph: 2, times: 1 },
  { kind: 'counts', session: 0, counts: [2, 1] },
  { kind: 'launch', graph: 2, times: 9 },
  { kind: 'decode', call: { session: 0, layer: 1, tokens: 2, counts: 'device' } },
  { kind: 'decode', call: { session: 0, layer: 1, tokens: 3, counts: [3, 0] } },
  { kind: 'decode', call: { session: 0, layer: 1, tokens: 3, counts: [1, 2] } },
  { kind: 'decode', call: { session: 0, layer: 1, tokens: 1, counts: 'device' } },
  { kind: 'leave', session: 1, slot: 0 },
  { kind: 'decode', call: { session: 1, layer: 0, tokens: 1 } },
  { kind: 'launch', graph: 0, times: 1 },
  { kind: 'dispose', session: 1 },
  { kind: 'launch', graph: 0, times: 1 },
  { kind: 'launch', graph: 1, times: 1 },
  { kind: 'decode', call: { session: 0, layer: 0, tokens: 2 } },
];

/** Sessions and what happens to them. */
export const historyArbitrary: fc.Arbitrary<readonly [number, readonly Step[]]> = fc.integer({ min: 2, max: 3 }).chain((sessions) => {
  const session = fc.nat(sessions - 1);
  const slot = fc.nat(batch - 1);
  const plain = fc.record({ session, layer: fc.nat(layers - 1), tokens: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: mostTokens })) });
  const counted = fc.tuple(plain, fc.oneof(fc.constant('device' as const), fc.tuple(fc.nat(mostTokens), fc.nat(mostTokens)))).map(([of, counts]): Call => ({ ...of, counts: counts === 'device' ? counts : counts.map((count) => Math.min(count, of.tokens)) }));
  const call: fc.Arbitrary<Call> = fc.oneof({ weight: 3, arbitrary: plain }, { weight: 1, arbitrary: counted });
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('decode' as const), call }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('prefill' as const), session, counts: fc.tuple(fc.nat(3), fc.nat(3)) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('capture' as const), by: fc.integer({ min: -1, max: sessions - 1 }), calls: fc.array(call, { maxLength: 5 }), fails: fc.integer({ min: 0, max: 4 }).map((n) => n === 0) }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('launch' as const), graph: fc.nat(7), times: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('counts' as const), session, counts: fc.tuple(fc.nat(mostTokens), fc.nat(mostTokens)) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('join' as const), session, bound: fc.integer({ min: 1, max: bound }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), session, slot }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate' as const), session, slot, back: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), session }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('dispose' as const), session }) },
  );
  return fc.tuple(fc.constant(sessions), fc.array(step, { minLength: 10, maxLength: 40, size: 'max' }));
});
