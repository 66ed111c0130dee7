/**
 * Random lives of a session, against a model of it (fast-check commands): sequences join, leave, fork, are truncated, get prompts in chunks and tokens. The model
 * holds every token of every sequence, which the oracle attends, and simulates rings slot by slot to know what may be taken back.
 */
import fc from 'fast-check';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import type { Device } from '../../src/runtime/device.ts';
import { RuntimeError } from '../../src/runtime/runtimeError.ts';
import type { NewTokens } from '../../src/runtime/newTokens.ts';
import type { Session } from '../../src/runtime/session.ts';
import type { CapturedStep } from '../../src/runtime/sessionTypes.ts';
import { scaledKeys } from '../oracle/attention.ts';
import { PageModel } from '../spec/pageModel.ts';
import { newestKept, oracleMask, oracleSpan, type OracleMask } from '../oracle/mask.ts';
import { toElement } from '../oracle/rounding.ts';
import { checkRows, newTally, type Tally } from './checkRows.ts';
import type { KernelFamily } from '../../src/arch/arch.ts';
import type { CacheType } from '../../src/ir/nodes.ts';
import type { Target } from './harness.ts';
import type { SequenceInputs } from './inputs.ts';
import { ruleOf, type PlanSpec, type RuleSpec } from './plans.ts';
import { Random } from './random.ts';
import { limitsOf, shapeOf, type Shape } from './shapes.ts';
import { roundTokens, scalesOf, store, storedBits } from './storedTokens.ts';
import { TensorSet, type Piece } from './tensors.ts';

/** What a life begins with. */
export interface Life {
  readonly shape: string;
  /** `[layer][query head]`. */
  readonly rules: readonly (readonly RuleSpec[])[];
  /** `[layer]`: the model's own window, or null; none by default. */
  readonly modelWindows?: readonly (number | null)[];
  readonly slack: number;
  /** The most of one decode. */
  readonly decodeTokens: number;
  readonly family: KernelFamily;
  readonly cacheType: CacheType;
  readonly batch: number;
  readonly lengthBound: number;
  /** Of the pages that `batch` sequences of the bound need, in percent. */
  readonly poolPercent: number;
  readonly seed: number;
  /** Of the emulator; fewer than rings have blocks go on from one to the next. */
  readonly multiprocessors: number;
}

/** A sequence as the model has it. */
interface Sequence {
  readonly bound: number;
  /** `[layer]`, with room for `bound` tokens; those from `length` on mean nothing. */
  readonly inputs: readonly SequenceInputs[];
  /** Keys and values as they are read from the cache. */
  readonly cached: readonly Pick<SequenceInputs, 'k' | 'v'>[];
  readonly masks: readonly (readonly OracleMask[])[];
  /** `[layer][kvHead]`: the position of the token in each window slot of the ring, or -1. */
  readonly rings: readonly (readonly Int32Array[])[];
  length: number;
}

export interface Model {
  readonly life: Life;
  readonly shape: Shape;
  readonly sequences: (Sequence | undefined)[];
}

export interface Real {
  readonly device: Device;
  readonly session: Session;
  readonly random: Random;
  readonly tally: Tally;
  /** The pages that sequences hold, by the specification. */
  readonly pages: PageModel;
  /** What happened, by name: tests ask that enough of each did. */
  readonly happened: Map<string, number>;
  /** Captured decodes of all layers, by their tokens and whether these are counted, with the tensors and counts that they read. */
  readonly steps: Map<string, CapturedDecode>;
  mixture?: CapturedMixture;
}

/** A step of any mixture that was captured once: numbers and tensors are set anew for each launch. */
interface CapturedMixture {
  readonly captured: CapturedStep;
  readonly tensors: readonly TensorSet[];
  readonly numbers: NewTokens;
}

/** A decode that was captured once. */
interface CapturedDecode {
  readonly captured: CapturedStep;
  readonly tensors: readonly TensorSet[];
  readonly counts: DeviceBuffer;
}

export type Command = fc.AsyncCommand<Model, Real>;

export const specOfLife = ({ shape, rules, modelWindows, slack, decodeTokens, family, cacheType }: Life): PlanSpec => ({
  shape,
  rules,
  ...(modelWindows === undefined ? {} : { modelWindows }),
  rope: false,
  family,
  cacheType,
  slack,
  decodeTokens,
});

/** A layer's own: the shape's, but for layers with a window of the model's. */
const sinkOfLayer = ({ life, shape }: Pick<Model, 'life' | 'shape'>, layer: number): number =>
  (life.modelWindows?.[layer] ?? null) === null ? shape.sink : 0;

/** A session without sequences, and its model. */
export async function beginLife(target: Target, life: Life, happened: Map<string, number> = new Map()): Promise<{ readonly model: Model; readonly real: Real; readonly end: () => void }> {
  const device = await target.device({ seed: life.seed, multiprocessors: life.multiprocessors });
  const plan = await target.load(device, specOfLife(life));
  const whole = plan.memory({ batch: life.batch, lengthBound: life.lengthBound }).cache / plan.definition.layout.pageBytes;
  const pages = Math.max(1, Math.floor((whole * life.poolPercent) / 100));
  const cacheScales = scalesOf(life);
  const session = plan.createSession({ batch: life.batch, lengthBound: life.lengthBound, slots: 'free', pages, poolByte: 0xff, decodeTokens: life.decodeTokens, ...(cacheScales === undefined ? {} : { cacheScales }) });
  const model: Model = { life, shape: shapeOf(life.shape), sequences: Array.from({ length: life.batch }, () => undefined) };
  const spec = new PageModel(plan.definition, plan.definition.layers.map((_, layer) => layer), pages, life.batch);
  const real: Real = { device, session, pages: spec, random: new Random(life.seed), tally: newTally(), happened, steps: new Map() };
  const end = (): void => {
    for (const { captured, tensors, counts } of real.steps.values()) {
      captured.dispose();
      counts.dispose();
      tensors.forEach((set) => set.dispose());
    }
    real.mixture?.captured.dispose();
    real.mixture?.tensors.forEach((set) => set.dispose());
    session.dispose();
    plan.dispose();
  };
  return { model, real, end };
}

/** Lives it through, and ends it. */
export async function runLife({ model, real, end }: Awaited<ReturnType<typeof beginLife>>, commands: readonly Command[]): Promise<Tally> {
  const done: string[] = [];
  try {
    for (const command of commands) {
      if (!command.check(model)) continue;
      done.push(command.toString());
      await command.run(model, real);
    }
    return real.tally;
  } catch (error) {
    throw new Error(`${(error as Error).message}\n    after ${done.join(', ')}\n    of ${JSON.stringify(model.life)}`, { cause: error });
  } finally {
    end();
  }
}

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const held = ({ sequences }: Model): number[] => range(sequences.length).filter((slot) => sequences[slot] !== undefined);
const pick = (model: Model, choice: number): number => held(model)[choice % held(model).length]!;

function newSequence(model: Model, bound: number): Sequence {
  const { life, shape } = model;
  const { queryHeads, kvHeads, headDim } = shape;
  const limits = limitsOf(shape);
  const groupSize = queryHeads / kvHeads;
  const whole = Math.ceil(Math.max(bound, limits.minSpan) / limits.page) * limits.page;
  const isDense = ([alpha, numerator, denominator]: RuleSpec): boolean => numerator === denominator && alpha >= 0;
  const inputs = life.rules.map(() => ({
    length: bound,
    queryHeads,
    kvHeads,
    headDim,
    scale: 1 / Math.sqrt(headDim),
    q: new Float32Array(bound * queryHeads * headDim),
    k: new Float32Array(bound * kvHeads * headDim),
    v: new Float32Array(bound * kvHeads * headDim),
    targets: new Int32Array(0),
  }));
  return {
    bound,
    length: 0,
    inputs,
    cached: life.cacheType === 'element' ? inputs : inputs.map(({ k, v }) => ({ k: k.slice(), v: v.slice() })),
    masks: life.rules.map((heads, layer) =>
      heads.map((rule) => oracleMask(ruleOf(rule), limits, bound, life.modelWindows?.[layer] ?? null)),
    ),
    rings: life.rules.map((heads, layer) =>
      range(kvHeads).map((kvHead) => {
        const members = heads.slice(kvHead * groupSize, (kvHead + 1) * groupSize);
        const modelWindow = life.modelWindows?.[layer] ?? null;
        const longest = Math.max(...members.map((rule) => oracleSpan(ruleOf(rule), limits, bound)));
        const span = modelWindow === null ? longest : Math.min(longest, modelWindow);
        const keepsAll = modelWindow === null && members.some(isDense);
        const tokens = keepsAll ? span : Math.min(span + life.slack, whole);
        return new Int32Array(tokens - sinkOfLayer(model, layer)).fill(-1);
      }),
    ),
  };
}

/** New random rows behind a sequence, in all layers; returns where they begin. */
function addTokens(model: Model, random: Random, slot: number, count: number): number {
  const sequence = model.sequences[slot]!;
  const { shape } = model;
  const begin = sequence.length;
  for (const inputs of sequence.inputs) {
    for (const [name, heads] of [['q', shape.queryHeads], ['k', shape.kvHeads], ['v', shape.kvHeads]] as const) {
      const row = heads * shape.headDim;
      for (let at = begin * row; at < (begin + count) * row; at += 1) inputs[name][at] = toElement(shape.elementType, random.normal());
    }
  }
  sequence.length += count;
  if (model.life.cacheType === 'e4m3') sequence.cached.forEach((cached, layer) => store(model.life, layer, sequence.inputs[layer]!, cached, begin, sequence.length));
  sequence.rings.forEach((rings, layer) => {
    const sink = sinkOfLayer(model, layer);
    for (const ring of rings) for (let j = Math.max(begin, sink); j < sequence.length; j += 1) ring[(j - sink) % ring.length] = j;
  });
  return begin;
}

/** Rows of NaN for a slot that holds no sequence: nothing may read them. */
function poison({ queryHeads, kvHeads, headDim }: Shape, tokens = 1): Piece {
  const rows = (heads: number): Float32Array => new Float32Array(tokens * heads * headDim).fill(NaN);
  const inputs: SequenceInputs = { length: tokens, queryHeads, kvHeads, headDim, scale: 1, q: rows(queryHeads), k: rows(kvHeads), v: rows(kvHeads), targets: new Int32Array(0) };
  return { inputs, begin: 0, end: tokens };
}

/** What decode attends: all tokens as they are in the cache. */
function cachedInputs({ inputs, cached }: Sequence, layer: number): SequenceInputs {
  const { k, v } = cached[layer]!;
  return { ...inputs[layer]!, k, v };
}

/** What a prefill attends that begins with token `begin`: those before it as they are in the cache, rounded to the element type. */
function chunkInputs({ life, shape }: Model, { inputs, cached }: Sequence, layer: number, begin: number): SequenceInputs {
  const given = inputs[layer]!;
  if (life.cacheType === 'element' || begin === 0) return given;
  const attended = { ...given, k: given.k.slice(), v: given.v.slice() };
  for (const name of ['k', 'v'] as const) attended[name].set(cached[layer]![name].subarray(0, begin * shape.kvHeads * shape.headDim));
  roundTokens(life, attended, begin);
  return attended;
}

/** Compares the rows of a slot's sequence from `begin` on with the oracle on `inputs`. `firstRow`: of position 0 in what was found. */
function compare(model: Model, real: Real, layer: number, slot: number, found: { out: Float32Array; lse: Float32Array }, firstRow: number, begin: number, inputs: SequenceInputs): void {
  const sequence = model.sequences[slot]!;
  const scaled = scaledKeys(inputs, model.shape.elementType);
  const positions = range(sequence.length - begin).map((n) => begin + n);
  sequence.masks[layer]!.forEach((mask, head) => {
    try {
      checkRows({ shape: model.shape, lane: 'normal', inputs, head, mask, positions, found: { ...found, firstRow }, scaledKeys: scaled }, real.tally);
    } catch (error) {
      throw new Error(`layer ${layer}, slot ${slot} of bound ${sequence.bound}: ${(error as Error).message}`, { cause: error });
    }
  });
}

/** Brings the sequences back to what they were. */
function undoOf({ sequences }: Model): () => void {
  const before = sequences.map((sequence) => sequence && { sequence, length: sequence.length, rings: sequence.rings.map((layer) => layer.map((ring) => ring.slice())) });
  return () => {
    for (const kept of before) {
      if (kept === undefined) continue;
      kept.sequence.length = kept.length;
      kept.sequence.rings.forEach((layer, index) => layer.forEach((ring, kvHead) => ring.set(kept.rings[index]![kvHead]!)));
    }
  };
}

/**
 * Makes a call that brings each slot so many tokens; false where the pool is too small for it. Then nothing has changed, and where no page is shared it is too small indeed.
 */
function isAdmitted(model: Model, real: Real, counts: readonly number[], call: () => void): boolean {
  const { session, pages } = real;
  const said = (): string => JSON.stringify([session.usage(), model.life.rules.map((_, layer) => [...session.lengths(layer)])]);
  const before = said();
  try {
    call();
  } catch (error) {
    if (!(error instanceof RuntimeError && error.code === 'MOA6109')) throw error;
    note(real, 'pool full');
    if (said() !== before) throw new Error('a step that was refused changed the session', { cause: error });
    const needed = counts.reduce((sum, count, slot) => sum + (count === 0 ? 0 : pages.neededAlone(slot, count)), 0);
    if (pages.shared === 0 && needed <= pages.free) throw new Error(`a step was refused that needs ${needed} of ${pages.free} free pages`, { cause: error });
    return false;
  }
  counts.forEach((count, slot) => count > 0 && pages.write(slot, count));
  checkUsage(model, real);
  return true;
}

/** The session counts no page too few, and where none is shared none too many. */
function checkUsage({ life }: Model, { session, pages }: Real): void {
  const { held: counted, shared, free, pages: all } = session.usage();
  const exact = pages.shared === 0;
  if (counted < pages.held || shared < pages.shared || free > pages.free || (exact && counted !== pages.held) || counted + free !== all) {
    throw new Error(`usage says ${counted} held, ${shared} shared, ${free} free; it is ${pages.held}, ${pages.shared}, ${pages.free} of ${JSON.stringify(life)}`);
  }
}

const note = ({ happened }: Real, what: string): void => void happened.set(what, (happened.get(what) ?? 0) + 1);

function refuses(code: string, call: () => unknown): void {
  try {
    call();
  } catch (error) {
    if (error instanceof RuntimeError && error.code === code) return;
    throw error;
  }
  throw new Error(`${code} was to be thrown`);
}

export class Join implements Command {
  readonly part: number;
  constructor(part: number) {
    this.part = part;
  }
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    const { session } = real;
    const bound = Math.max(1, Math.round((model.life.lengthBound * this.part) / 100));
    const free = model.sequences.indexOf(undefined);
    if (free < 0) return refuses('MOA6108', () => session.join({ lengthBound: bound }));
    const slot = session.add({ lengthBound: bound });
    if (slot !== free) throw new Error(`joined in slot ${slot}, not in ${free}`);
    model.sequences[slot] = newSequence(model, bound);
    real.pages.add(slot, bound);
    note(real, 'join');
  }
  toString = (): string => `join(${this.part} %)`;
}

export class Leave implements Command {
  readonly choice: number;
  constructor(choice: number) {
    this.choice = choice;
  }
  check = (model: Model): boolean => held(model).length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const { session } = real;
    const slot = pick(model, this.choice);
    session.remove(slot);
    real.pages.remove(slot);
    note(real, 'leave');
    model.sequences[slot] = undefined;
    refuses('MOA6107', () => session.truncate(slot, 0));
  }
  toString = (): string => `leave(${this.choice})`;
}

export class Fork implements Command {
  readonly choice: number;
  constructor(choice: number) {
    this.choice = choice;
  }
  check = (model: Model): boolean => held(model).length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const { session } = real;
    const slot = pick(model, this.choice);
    if (!model.sequences.includes(undefined)) return refuses('MOA6108', () => session.fork(slot));
    {
      const to = session.fork(slot);
      real.pages.fork(slot, to);
      const { bound, length, inputs, cached, masks, rings } = model.sequences[slot]!;
      note(real, length === 0 ? 'fork of nothing' : 'fork');
      const copies = inputs.map((one) => ({ ...one, q: one.q.slice(), k: one.k.slice(), v: one.v.slice() }));
      model.sequences[to] = {
        bound,
        length,
        masks,
        inputs: copies,
        cached: cached === inputs ? copies : cached.map(({ k, v }) => ({ k: k.slice(), v: v.slice() })),
        rings: rings.map((layer) => layer.map((ring) => ring.slice())),
      };
    }
    checkUsage(model, real);
  }
  toString = (): string => `fork(${this.choice})`;
}

export class Truncate implements Command {
  readonly choice: number;
  readonly back: number;
  constructor(choice: number, back: number) {
    this.choice = choice;
    this.back = back;
  }
  check = (model: Model): boolean => held(model).length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const { session } = real;
    const slot = pick(model, this.choice);
    const sequence = model.sequences[slot]!;
    const length = Math.max(0, sequence.length - this.back);
    const { queryHeads, kvHeads } = model.shape;
    const possible = sequence.rings.every((rings, layer) =>
      rings.every((ring, kvHead) => {
        const groupSize = queryHeads / kvHeads;
        const sink = sinkOfLayer(model, layer);
        const window = Math.max(...sequence.masks[layer]!.slice(kvHead * groupSize, (kvHead + 1) * groupSize).map(newestKept));
        for (let j = Math.max(sink, length - window + 1); j < length; j += 1) if (ring[(j - sink) % ring.length] !== j) return false;
        return true;
      }),
    );
    const wrapped = sequence.rings.some((rings, layer) => rings.some((ring) => sequence.length - sinkOfLayer(model, layer) > ring.length));
    note(real, !possible ? 'truncate refused' : this.back > 0 && wrapped ? 'truncate of a ring that went round' : 'truncate');
    if (!possible) return refuses('MOA6110', () => session.truncate(slot, length));
    session.truncate(slot, length);
    real.pages.truncate(slot, length);
    sequence.length = length;
    checkUsage(model, real);
  }
  toString = (): string => `truncate(${this.choice}, ${this.back})`;
}

export class Prefill implements Command {
  readonly counts: readonly number[];
  constructor(counts: readonly number[]) {
    this.counts = counts;
  }
  check = (model: Model): boolean => held(model).length > 0;
  async run(model: Model, real: Real): Promise<void> {
    const counts = model.sequences.map((sequence, slot) => (sequence === undefined ? 0 : Math.min(this.counts[slot % this.counts.length]!, sequence.bound - sequence.length)));
    const undo = undoOf(model);
    const begins = counts.map((count, slot) => (count === 0 ? (model.sequences[slot]?.length ?? 0) : addTokens(model, real.random, slot, count)));
    const none = poison(model.shape);
    if (counts.some((count, slot) => count > 0 && begins[slot]! > 0)) note(real, 'chunk');
    else note(real, 'prefill');
    for (const layer of model.life.rules.keys()) {
      const pieces = counts.map((count, slot): Piece => (count === 0 ? { ...none, end: 0 } : { inputs: model.sequences[slot]!.inputs[layer]!, begin: begins[slot]!, end: begins[slot]! + count }));
      using tensors = new TensorSet(real.device, model.shape, pieces);
      if (layer === 0 && !isAdmitted(model, real, counts, () => real.session.prefill(layer, tensors))) return undo();
      if (layer > 0) real.session.prefill(layer, tensors);
      const found = { out: tensors.values('out'), lse: tensors.logSums() };
      counts.forEach((count, slot) => {
        if (count > 0) compare(model, real, layer, slot, found, tensors.cuSeqlens[slot]! - begins[slot]!, begins[slot]!, chunkInputs(model, model.sequences[slot]!, layer, begins[slot]!));
      });
    }
  }
  toString = (): string => `prefill(${this.counts.join()})`;
}

export class Decode implements Command {
  readonly steps: number;
  readonly captured: boolean;
  /** Of each sequence, as far as the session goes. */
  readonly tokens: number;
  /** How many of the tokens each sequence gets, of one more than there are; all where none are given. */
  readonly counts: readonly number[] | undefined;
  constructor(steps: number, captured: boolean, tokens: number, counts?: readonly number[]) {
    this.steps = steps;
    this.captured = captured;
    this.tokens = tokens;
    this.counts = counts;
  }
  check = (): boolean => true;
  async run(model: Model, real: Real): Promise<void> {
    const { session, device } = real;
    const tokens = Math.min(this.tokens, model.life.decodeTokens);
    const none = poison(model.shape, tokens);
    // Of one token at most in a session, none can be left out.
    const given = model.life.decodeTokens > 1 ? this.counts : undefined;
    const counts = model.sequences.map((_, slot) => (given === undefined ? tokens : given[slot % given.length]! % (tokens + 1)));
    for (let step = 0; step < this.steps; step += 1) {
      if (held(model).some((slot) => model.sequences[slot]!.length + counts[slot]! > model.sequences[slot]!.bound)) {
        using tensors = new TensorSet(device, model.shape, model.sequences.map(() => none));
        note(real, 'sequence full');
        return refuses('MOA6101', () => session.decode(0, { ...fields(tensors), tokens, ...(given === undefined ? {} : { counts }) }));
      }
      if (given !== undefined) note(real, this.captured ? 'graph with counts' : 'counts');
      if (tokens > 1) note(real, 'several tokens');
      note(real, this.captured ? 'graph' : 'decode');
      if (held(model).length < model.sequences.length) note(real, 'decode with free slots');
      const undo = undoOf(model);
      const begins = model.sequences.map((sequence, slot) => (sequence === undefined ? 0 : addTokens(model, real.random, slot, counts[slot]!)));
      const piecesOf = (layer: number): Piece[] =>
        model.sequences.flatMap((sequence, slot) => (sequence === undefined ? [none] : [{ inputs: sequence.inputs[layer]!, begin: begins[slot]!, end: begins[slot]! + counts[slot]! }, { ...none, end: tokens - counts[slot]! }]));
      const recorded = this.captured ? this.#captured(model, real, tokens, piecesOf, given && counts) : undefined;
      const sets = recorded?.tensors ?? model.life.rules.map((_, layer) => new TensorSet(device, model.shape, piecesOf(layer)));
      const call = { ...fields(sets[0]!), tokens, ...(given === undefined ? {} : { counts }) };
      if (!isAdmitted(model, real, counts.map((count, slot) => (model.sequences[slot] === undefined ? 0 : count)), () => (recorded === undefined ? session.decode(0, call) : recorded.captured.launch()))) {
        if (!this.captured) sets.forEach((tensors) => tensors.dispose());
        return undo();
      }
      sets.forEach((tensors, layer) => {
        if (!this.captured && layer > 0) session.decode(layer, { ...fields(tensors), tokens, ...(given === undefined ? {} : { counts }) });
        const found = { out: tensors.values('out'), lse: tensors.logSums() };
        model.sequences.forEach((sequence, slot) => {
          if (sequence !== undefined) {
            compare(model, real, layer, slot, found, slot * tokens - begins[slot]!, begins[slot]!, cachedInputs(sequence, layer));
            checkZeros(model, found, slot * tokens + counts[slot]!, tokens - counts[slot]!, [0, -Infinity]);
          } else checkEmpty(model, found, slot * tokens, tokens);
        });
        if (!this.captured) tensors.dispose();
      });
    }
  }
  /** One graph for the session's whole life, whoever comes and goes; its tensors are written anew. */
  #captured(model: Model, real: Real, tokens: number, piecesOf: (layer: number) => Piece[], given: readonly number[] | undefined): CapturedDecode {
    const { session, device, steps } = real;
    const key = `${tokens} ${given !== undefined}`;
    let step = steps.get(key);
    if (step === undefined) {
      const tensors = model.life.rules.map((_, layer) => new TensorSet(device, model.shape, piecesOf(layer)));
      const counts = device.upload(new Int32Array(model.life.batch).fill(tokens));
      const record = (): void => tensors.forEach((set, layer) => session.decode(layer, { ...fields(set), tokens, ...(given === undefined ? {} : { counts }) }));
      step = { tensors, counts, captured: session.capture(record) };
      steps.set(key, step);
    }
    if (given !== undefined) step.counts.write(Int32Array.from(given));
    step.tensors.forEach((tensors, layer) => {
      using fresh = new TensorSet(device, model.shape, piecesOf(layer));
      for (const name of ['q', 'k', 'v', 'out', 'lse'] as const) tensors[name].copyFrom(fresh[name]);
    });
    return step;
  }
  toString = (): string => `decode(${this.steps} x ${this.tokens}${this.counts === undefined ? '' : ` of ${this.counts.join('/')}`}${this.captured ? ', graph' : ''})`;
}

/** Rows of a captured step. */
const mixtureBudget = 160;

/** A step in which sequences bring none, one or many tokens. */
export class Mixture implements Command {
  readonly counts: readonly number[];
  readonly captured: boolean;
  constructor(counts: readonly number[], captured: boolean) {
    this.counts = counts;
    this.captured = captured;
  }
  check = (model: Model): boolean => held(model).length > 0;
  async run(model: Model, real: Real): Promise<void> {
    let left = this.captured ? mixtureBudget : Infinity;
    const counts = model.sequences.map((sequence, slot) => {
      const count = sequence === undefined ? 0 : Math.min(this.counts[slot % this.counts.length]!, sequence.bound - sequence.length, left);
      left -= count;
      return count;
    });
    note(real, this.captured ? 'graph of a mixture' : 'mixture');
    if (counts.includes(1) && counts.some((count) => count > 1)) note(real, 'one token beside many');
    const undo = undoOf(model);
    const begins = counts.map((count, slot) => (count === 0 ? (model.sequences[slot]?.length ?? 0) : addTokens(model, real.random, slot, count)));
    const total = counts.reduce((sum, count) => sum + count, 0);
    const behind = { ...poison(model.shape, mixtureBudget), end: this.captured ? mixtureBudget - total : 0 };
    const none = { ...poison(model.shape), end: 0 };
    const piecesOf = (layer: number): Piece[] => [
      ...counts.map((count, slot): Piece => (count === 0 ? none : { inputs: model.sequences[slot]!.inputs[layer]!, begin: begins[slot]!, end: begins[slot]! + count })),
      ...(this.captured ? [behind] : []),
    ];
    const step = this.captured ? this.#captured(model, real, counts, piecesOf) : undefined;
    const sets = step?.tensors ?? model.life.rules.map((_, layer) => new TensorSet(real.device, model.shape, piecesOf(layer)));
    const run = (layer: number): void => real.session.step(layer, { ...fields(sets[layer]!), cuSeqlens: sets[layer]!.cuSeqlens });
    if (!isAdmitted(model, real, counts, () => (step === undefined ? run(0) : step.captured.launch()))) {
      if (!this.captured) sets.forEach((tensors) => tensors.dispose());
      return undo();
    }
    const ends = counts.map((_, slot) => counts.slice(0, slot + 1).reduce((sum, count) => sum + count, 0));
    sets.forEach((tensors, layer) => {
      if (!this.captured && layer > 0) run(layer);
      const found = { out: tensors.values('out'), lse: tensors.logSums() };
      counts.forEach((count, slot) => {
        if (count === 0) return;
        const sequence = model.sequences[slot]!;
        const inputs = count === 1 ? cachedInputs(sequence, layer) : chunkInputs(model, sequence, layer, begins[slot]!);
        compare(model, real, layer, slot, found, ends[slot]! - count - begins[slot]!, begins[slot]!, inputs);
      });
      // Rows behind the last token are as they were.
      checkZeros(model, found, total, behind.end, [NaN, NaN]);
      if (!this.captured) tensors.dispose();
    });
  }
  /** One graph for the session's whole life. */
  #captured(model: Model, real: Real, counts: readonly number[], piecesOf: (layer: number) => Piece[]): CapturedMixture {
    const { session, device } = real;
    if (real.mixture === undefined) {
      const tensors = model.life.rules.map((_, layer) => new TensorSet(device, model.shape, piecesOf(layer)));
      const numbers = session.newTokens({ budget: mixtureBudget });
      const captured = session.capture(() => tensors.forEach((set, layer) => session.step(layer, { ...fields(set), cuSeqlens: numbers })));
      real.mixture = { captured, tensors, numbers };
    }
    real.mixture.numbers.set(counts);
    real.mixture.tensors.forEach((tensors, layer) => {
      using fresh = new TensorSet(device, model.shape, piecesOf(layer));
      for (const name of ['q', 'k', 'v', 'out', 'lse'] as const) tensors[name].copyFrom(fresh[name]);
    });
    return real.mixture;
  }
  toString = (): string => `mixture(${this.counts.join()}${this.captured ? ', graph' : ''})`;
}

const fields = ({ q, k, v, out, lse }: TensorSet) => ({ q, k, v, out, lse });

/** The rows of a slot without a sequence: zeros, and -inf. */
function checkEmpty(model: Model, found: { out: Float32Array; lse: Float32Array }, firstRow: number, rows: number): void {
  checkZeros(model, found, firstRow, rows, [0, -Infinity]);
}

/** Rows that are no token: what is wanted of out, and of lse. */
function checkZeros({ shape: { queryHeads, headDim } }: Model, { out, lse }: { out: Float32Array; lse: Float32Array }, firstRow: number, rows: number, [nothing, never]: readonly [number, number]): void {
  const isAll = (values: Float32Array, width: number, wanted: number): boolean => values.subarray(firstRow * width, (firstRow + rows) * width).every((value) => value === wanted || (Number.isNaN(value) && Number.isNaN(wanted)));
  if (!isAll(out, queryHeads * headDim, nothing) || !isAll(lse, queryHeads, never)) throw new Error(`row ${firstRow} is no token, and has an output`);
}

export class CheckCaches implements Command {
  check = (): boolean => true;
  async run(model: Model, { session }: Real): Promise<void> {
    model.sequences.forEach((sequence, slot) => {
      sequence?.inputs.forEach((inputs, layer) => {
        if (session.lengths(layer)[slot] !== sequence.length) throw new Error(`layer ${layer}, slot ${slot}: ${session.lengths(layer)[slot]} tokens, not ${sequence.length}`);
        sequence.rings[layer]!.forEach((ring, kvHead) => checkRing(model, session, layer, slot, kvHead, inputs, ring));
      });
    });
  }
  toString = (): string => 'checkCaches';
}

/** Tokens of the sink and those that the ring still has are in the cache, bit for bit. */
function checkRing({ life, shape }: Model, session: Session, layer: number, slot: number, kvHead: number, inputs: SequenceInputs, ring: Int32Array): void {
  const { headDim, kvHeads } = shape;
  const sink = sinkOfLayer({ life, shape }, layer);
  const { positions, keys, values } = session.cachedTokens(layer, slot, kvHead);
  positions.forEach((j, n) => {
    if (j >= sink && ring[(j - sink) % ring.length] !== j) throw new Error(`layer ${layer}, slot ${slot}, KV head ${kvHead}: the ring has lost token ${j}, and is said to hold it`);
    const bitsOf = (part: 'keys' | 'values', given: Float32Array): ArrayLike<number> =>
      storedBits(life, part, layer, kvHead, given.subarray((j * kvHeads + kvHead) * headDim, (j * kvHeads + kvHead + 1) * headDim));
    const [key, value] = [bitsOf('keys', inputs.k), bitsOf('values', inputs.v)];
    for (let d = 0; d < headDim; d += 1) {
      if (keys[n * headDim + d] !== key[d] || values[n * headDim + d] !== value[d]) throw new Error(`layer ${layer}, slot ${slot}, KV head ${kvHead}: token ${j} is not in the cache as it was given`);
    }
  });
}

const mostPrompt = 300;

/** By sequence: none, one or many. */
const mixtureCounts = fc.array(fc.oneof(fc.constantFrom(0, 1, 1, 2), fc.integer({ min: 2, max: 70 }), fc.integer({ min: 1, max: mostPrompt })), { minLength: 1, maxLength: 4 });

/** Commands in the proportions of a life. */
const commands: readonly fc.Arbitrary<Command>[] = [
  fc.integer({ min: 20, max: 100 }).map((part) => new Join(part)),
  fc.integer({ min: 60, max: 100 }).map((part) => new Join(part)),
  fc.nat(7).map((choice) => new Leave(choice)),
  fc.nat(7).map((choice) => new Fork(choice)),
  fc.nat(7).map((choice) => new Fork(choice)),
  fc.tuple(fc.nat(7), fc.integer({ min: 1, max: 3 })).map(([choice, back]) => new Truncate(choice, back)),
  fc.tuple(fc.nat(7), fc.integer({ min: 0, max: 140 })).map(([choice, back]) => new Truncate(choice, back)),
  fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: mostPrompt }), fc.constant(1000)), { minLength: 1, maxLength: 4 }).map((counts) => new Prefill(counts)),
  fc.array(fc.integer({ min: 1, max: mostPrompt }), { minLength: 1, maxLength: 4 }).map((counts) => new Prefill(counts)),
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.boolean()).map(([steps, captured]) => new Decode(steps, captured, 1)),
  fc.tuple(fc.integer({ min: 1, max: 2 }), fc.boolean(), fc.integer({ min: 1, max: 16 })).map(([steps, captured, tokens]) => new Decode(steps, captured, tokens)),
  fc.tuple(fc.integer({ min: 1, max: 2 }), fc.boolean(), fc.integer({ min: 1, max: 16 }), fc.array(fc.nat(16), { minLength: 1, maxLength: 4 })).map(([steps, captured, tokens, counts]) => new Decode(steps, captured, tokens, counts)),
  fc.tuple(mixtureCounts, fc.boolean()).map(([counts, captured]) => new Mixture(counts, captured)),
  fc.tuple(mixtureCounts, fc.boolean()).map(([counts, captured]) => new Mixture(counts, captured)),
  fc.constant<Command>(new CheckCaches()),
];

/** A life of up to `most` commands; it begins with a sequence. */
export const livesOf = (most: number): fc.Arbitrary<readonly Command[]> => fc.array(fc.oneof(...commands), { minLength: 4, maxLength: most, size: 'max' }).map((all) => [new Join(100), ...all]);

/** Lives of small sessions. */
export function lifeArbitrary(shapes: readonly string[], cacheType: CacheType = 'element'): fc.Arbitrary<Life> {
  // Short ones mostly: their rings go round.
  const rule: fc.Arbitrary<RuleSpec> = fc.oneof(
    fc.constantFrom<RuleSpec[]>([128, 0, 1], [128, 0, 1], [192, 0, 1], [0, 1, 1], [0, 1, 2]),
    fc.tuple(fc.integer({ min: 0, max: 6 }).map((pages) => pages * 64), fc.integer({ min: 0, max: 8 }), fc.constant(8)),
  );
  return fc
    .record({
      shape: fc.constantFrom(...shapes),
      rings: fc.constantFrom({ slack: 0, decodeTokens: 1 }, { slack: 64, decodeTokens: 1 }, { slack: 64, decodeTokens: 16 }, { slack: 128, decodeTokens: 16 }),
      family: fc.constantFrom<KernelFamily>('portable', 'hopper'),
      batch: fc.integer({ min: 1, max: 4 }),
      lengthBound: fc.integer({ min: 200, max: 640 }),
      poolPercent: fc.constantFrom(60, 100, 100, 100),
      seed: fc.nat(2 ** 30),
      multiprocessors: fc.integer({ min: 1, max: 12 }),
      layers: fc.integer({ min: 1, max: 2 }),
    })
    .chain(({ layers, rings, ...life }) => fc.array(fc.array(rule, { minLength: shapeOf(life.shape).queryHeads, maxLength: shapeOf(life.shape).queryHeads }), { minLength: layers, maxLength: layers }).map((rules) => ({ ...life, ...rings, cacheType, rules })));
}
