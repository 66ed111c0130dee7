/** Runs a case on a target and compares everything with the oracle. */
import type { Device } from '../../src/runtime/device.ts';
import type { Plan } from '../../src/runtime/plan.ts';
import type { Session } from '../../src/runtime/session.ts';
import { decodeElements } from '../../src/runtime/elements.ts';
import { scaledKeys } from '../oracle/attention.ts';
import { partnerOf, rotatedRow, turnedRow } from '../oracle/rope.ts';
import { elementStep } from '../oracle/rounding.ts';
import { CaseFailure, specOf, masksOf, ringMask, ropeTheta, rotationOf, sinksOf, type Case } from './case.ts';
import { checkCache } from './checkCache.ts';
import { checkDecodeCounts, checkPrefillCounts } from './checkCounts.ts';
import { checkRows, newTally, type FoundRows, type Tally } from './checkRows.ts';
import type { Target } from './harness.ts';
import { makeInputs, type SequenceInputs } from './inputs.ts';
import { poisoned, poisonOf } from './poison.ts';
import { Random } from './random.ts';
import { shapeOf } from './shapes.ts';
import { chunkTokens, scalesOf, storedTokens } from './storedTokens.ts';
import { TensorSet } from './tensors.ts';

/** The tokens of one (layer, sequence): as given, and as attended: turned by RoPE where the case has it. */
export interface Tokens {
  readonly given: SequenceInputs;
  readonly attended: SequenceInputs;
}

export interface Run {
  readonly testCase: Case;
  readonly target: Target;
  readonly device: Device;
  readonly session: Session;
  /** `[layer][sequence]`. */
  readonly tokens: readonly (readonly Tokens[])[];
  readonly tally: Tally;
}

/** @throws CaseFailure with a line that runs the case again */
export async function runCase(target: Target, testCase: Case): Promise<Tally> {
  try {
    const device = await target.device({ seed: testCase.seed, ...(testCase.multiprocessors === undefined ? {} : { multiprocessors: testCase.multiprocessors }) });
    using plan = await target.load(device, specOf(testCase));
    using session = openSession(plan, testCase);
    const run: Run = { testCase, target, device, session, tokens: makeTokens(testCase), tally: newTally() };
    testCase.rules.forEach((_, layer) => prefillAndCheck(run, layer));
    for (let step = 0; step < testCase.decodes; step += 1) testCase.rules.forEach((_, layer) => decodeAndCheck(run, layer, step));
    if (testCase.decodes > 0) testCase.rules.forEach((_, layer) => checkCaches(run, session, layer, lengthsAfter(testCase)));
    if (testCase.compareWhole === true) {
      using whole = openSession(plan, testCase);
      testCase.rules.forEach((_, layer) => wholeAndCheck(run, whole, layer));
    }
    return run.tally;
  } catch (error) {
    if (error instanceof CaseFailure) throw error;
    throw new CaseFailure(testCase, error instanceof Error ? error.message : String(error), error);
  }
}

export function openSession(plan: Plan, testCase: Case): Session {
  const { bound, prefill, scale, rope, shufflePages, seed } = testCase;
  const shape = { batch: prefill.length, lengthBound: bound };
  const cacheScales = scalesOf(testCase);
  return plan.createSession({
    ...shape,
    poolByte: 0xff,
    ...(scale === undefined ? {} : { scale }),
    ...(rope === true ? { rope: testCase.rotation === undefined ? { theta: ropeTheta } : 'model' } : {}),
    ...(cacheScales === undefined ? {} : { cacheScales }),
    ...(testCase.sinkLogits === undefined ? {} : { sinkLogits: testCase.rules.map((_, layer) => sinksOf(testCase, layer)!) }),
    ...(shufflePages === true ? { pageOrder: (pages: number) => new Random(seed).shuffled(pages) } : {}),
  });
}

export function makeTokens(testCase: Case): Tokens[][] {
  const { prefill, decodes, rules, lane, seed, queryScale, scale, rope, softCap, cheapInputs } = testCase;
  return rules.map((_, layer) => {
    const masks = masksOf(testCase, layer);
    const sinkLogits = sinksOf(testCase, layer);
    return prefill.map((count, sequence): Tokens => {
      const length = count + decodes;
      const clean = makeInputs({ shape: shapeOf(testCase.shape), lane, length, masks, seed: seed + 7919 * sequence + 104729 * layer, scale, softCap, sinkLogits, cheap: cheapInputs, ...(queryScale === undefined ? {} : { queryScale }) });
      const given = poisoned(clean, poisonOf(testCase, layer, sequence, length));
      return { given, attended: rope === true ? { ...given, q: given.q.slice(), k: given.k.slice() } : given };
    });
  });
}

function prefillAndCheck(run: Run, layer: number): void {
  const { testCase, device, session, target } = run;
  const counted = target.kind === 'emulator' && isClean(run, layer);
  for (const chunk of chunksOf(testCase)) {
    using tensors = new TensorSet(device, shapeOf(testCase.shape), chunk.map(([begin, end], n) => ({ inputs: run.tokens[layer]![n]!.given, begin, end })));
    if (counted) session.planAhead(layer, tensors);
    if (counted) device.resetCounters();
    session.prefill(layer, tensors);
    if (counted) checkPrefillCounts(device, testCase, layer, chunk);
    takeTurned(run, layer, tensors, (n) => chunk[n]!);
    const [out, lse] = [tensors.values('out'), tensors.logSums()];
    const positions = (n: number): number[] => {
      const [begin, end] = chunk[n]!;
      return sampled(end - begin, testCase.sampleRows).map((row) => begin + row);
    };
    compare(run, layer, (n) => ({ out, lse, firstRow: tensors.cuSeqlens[n]! - chunk[n]![0] }), positions, (inputs, n) => chunkTokens(testCase, layer, inputs, chunk[n]![0]));
    checkCaches(run, session, layer, chunk.map(([, end]) => end));
  }
}

/** Whether no token of the layer is poisoned: what is not finite costs more work. */
const isClean = ({ tokens }: Run, layer: number): boolean => tokens[layer]!.every(({ given }) => given.poison === undefined);

/** The chunks that a case's prompts come in: of each sequence the first and the end of its tokens. */
export function chunksOf({ prefill, chunk }: Pick<Case, 'prefill' | 'chunk'>): (readonly [number, number])[][] {
  const most = chunk ?? Infinity;
  const count = Math.max(1, ...prefill.map((length) => Math.ceil(length / most)));
  const at = (length: number, n: number): number => (n === 0 ? 0 : Math.min(length, n * most));
  return range(0, count).map((n) => prefill.map((length) => [at(length, n), at(length, n + 1)] as const));
}

/** Output of decode step `step`: position `prefill[n] + step` of every sequence. */
function decodeAndCheck(run: Run, layer: number, step: number): void {
  const { testCase, device, session, target } = run;
  const counted = target.kind === 'emulator' && isClean(run, layer);
  const pieces = testCase.prefill.map((count, n) => ({ inputs: run.tokens[layer]![n]!.given, begin: count + step, end: count + step + 1 }));
  using tensors = new TensorSet(device, shapeOf(testCase.shape), pieces);
  const { q, k, v, out: into } = tensors;
  if (counted) session.planAhead(layer, { q, k, v, out: into });
  if (counted) device.resetCounters();
  session.decode(layer, tensors);
  if (counted) checkDecodeCounts(device, testCase, layer, pieces.map(({ end }) => end));
  turnNewTokens(run, layer, pieces.map(({ begin }) => begin));
  const [out, lse] = [tensors.values('out'), tensors.logSums()];
  compare(run, layer, (n) => ({ out, lse, firstRow: n - pieces[n]!.begin }), (n) => [pieces[n]!.begin], (inputs) => storedTokens(testCase, layer, inputs));
}

/** The central invariant: prefill of all tokens gives what prefill and decode gave, and leaves the same cache. */
function wholeAndCheck(run: Run, whole: Session, layer: number): void {
  const { testCase, device } = run;
  const shape = shapeOf(testCase.shape);
  const ends = testCase.prefill.map((count) => count + testCase.decodes);
  using tensors = new TensorSet(device, shape, ends.map((end, n) => ({ inputs: run.tokens[layer]![n]!.given, begin: 0, end })));
  whole.prefill(layer, tensors);
  const [out, lse] = [tensors.values('out'), tensors.logSums()];
  if (testCase.rope === true) checkSameTurn(run, layer, tensors);
  compare(run, layer, (n) => ({ out, lse, firstRow: tensors.cuSeqlens[n]! }), (n) => range(testCase.prefill[n]!, ends[n]!));
  checkCaches(run, whole, layer, ends);
}

function compare(run: Run, layer: number, foundOf: (n: number) => FoundRows, positionsOf: (n: number) => readonly number[], attendedOf = (inputs: SequenceInputs, _n: number) => inputs): void {
  const { testCase, tokens, tally } = run;
  const shape = shapeOf(testCase.shape);
  const masks = masksOf(testCase, layer);
  const heads = testCase.sampleHeads ?? range(0, shape.queryHeads);
  testCase.prefill.forEach((_, n) => {
    const positions = positionsOf(n);
    if (positions.length === 0) return;
    const inputs = attendedOf(tokens[layer]![n]!.attended, n);
    const scaled = keysOf(testCase, inputs);
    for (const head of heads) {
      try {
        checkRows({ shape, lane: testCase.lane, inputs, head, mask: masks[head]!, positions, found: foundOf(n), scaledKeys: scaled }, tally);
      } catch (error) {
        throw new Error(`layer ${layer}, sequence ${n}, ${(error as Error).message}`, { cause: error });
      }
    }
  });
}

const keysCache = new WeakMap<SequenceInputs, Float32Array>();

/** The scaled keys of a sequence. RoPE completes its keys on the way, so then none are kept. */
function keysOf({ lane, rope, shape }: Case, inputs: SequenceInputs): Float32Array {
  if (lane !== 'normal') return new Float32Array(0);
  if (rope === true) return scaledKeys(inputs, shapeOf(shape).elementType);
  let keys = keysCache.get(inputs);
  if (keys === undefined) keysCache.set(inputs, (keys = scaledKeys(inputs, shapeOf(shape).elementType)));
  return keys;
}

const lengthsAfter = ({ prefill, decodes }: Case): number[] => prefill.map((count) => count + decodes);

/** The cache of a layer whose sequences have these lengths. */
export function checkCaches({ testCase, tokens }: Run, session: Session, layer: number, lengths: readonly number[]): void {
  const shape = shapeOf(testCase.shape);
  const masks = masksOf(testCase, layer);
  const groupSize = shape.queryHeads / shape.kvHeads;
  const kvHeads = testCase.sampleHeads === undefined ? range(0, shape.kvHeads) : [...new Set(testCase.sampleHeads.map((head) => Math.floor(head / groupSize)))];
  lengths.forEach((length, n) => {
    for (const kvHead of kvHeads) checkCache(session, testCase, layer, n, kvHead, ringMask(masks, groupSize, kvHead), tokens[layer]![n]!.attended, length);
  });
}

/** With RoPE: reads the turned q and k back, compares them with float64, and keeps them as what was attended. */
function takeTurned({ testCase, tokens }: Run, layer: number, tensors: TensorSet, rangeOf: (n: number) => readonly [number, number]): void {
  if (testCase.rope !== true) return;
  const { headDim, queryHeads, kvHeads } = shapeOf(testCase.shape);
  for (const [name, heads] of [['q', queryHeads], ['k', kvHeads]] as const) {
    const turned = tensors.values(name);
    testCase.prefill.forEach((_, n) => {
      const [begin, end] = rangeOf(n);
      const { given, attended } = tokens[layer]![n]!;
      for (let row = begin * heads; row < end * heads; row += 1) {
        const from = (tensors.cuSeqlens[n]! * heads + row - begin * heads) * headDim;
        checkTurned(testCase, given[name], attended[name], row, Math.floor(row / heads), turned.subarray(from, from + headDim), `layer ${layer}, sequence ${n}: turned ${name}`);
      }
    });
  }
}

/**
 * With RoPE: what decode attended. It leaves q and k as they were: the turned key is read from the cache and compared with float64, q is turned
 * here with the same roundings.
 */
function turnNewTokens({ testCase, tokens, session }: Run, layer: number, positions: readonly number[]): void {
  if (testCase.rope !== true) return;
  const { headDim, queryHeads, kvHeads, elementType } = shapeOf(testCase.shape);
  const rotation = rotationOf(testCase);
  positions.forEach((position, n) => {
    const { given, attended } = tokens[layer]![n]!;
    for (let row = position * queryHeads; row < (position + 1) * queryHeads; row += 1) {
      attended.q.set(turnedRow(elementType, given.q, row, headDim, position, rotation, testCase.bound), row * headDim);
    }
    for (let kvHead = 0; kvHead < kvHeads; kvHead += 1) {
      if (testCase.cacheType === 'e4m3') {
        // The code says too little: what was encoded is turned here.
        const row = position * kvHeads + kvHead;
        attended.k.set(turnedRow(elementType, given.k, row, headDim, position, rotation, testCase.bound), row * headDim);
        continue;
      }
      const cached = session.cachedTokens(layer, n, kvHead);
      const at = cached.positions.indexOf(position);
      if (at < 0) throw new Error(`layer ${layer}, sequence ${n}: the cache of KV head ${kvHead} does not hold the new token at position ${position}`);
      const turned = decodeElements(elementType, cached.keys.subarray(at * headDim, (at + 1) * headDim));
      checkTurned(testCase, given.k, attended.k, position * kvHeads + kvHead, position, turned, `layer ${layer}, sequence ${n}: cached key`);
    }
  });
}

/** Compares a turned row with float64 and keeps it as what was attended. */
function checkTurned(testCase: Case, given: Float32Array, attended: Float32Array, row: number, position: number, turned: Float32Array, what: string): void {
  const { headDim, elementType } = shapeOf(testCase.shape);
  const rotation = rotationOf(testCase);
  const exact = rotatedRow(given, row, headDim, position, rotation);
  for (let d = 0; d < headDim; d += 1) {
    const value = turned[d]!;
    const own = Math.abs(given[row * headDim + d]!);
    const partner = Math.abs(given[row * headDim + partnerOf(rotation, d)]!);
    const limit = 0.5 * elementStep(elementType, exact[d]!) + 2 ** -20 * (own + partner);
    const isRight = Number.isNaN(exact[d]!) ? Number.isNaN(value) : Math.abs(value - exact[d]!) <= limit;
    // An infinite element and a finite one: their turn may be NaN or infinite.
    const isSpoiled = !Number.isFinite(own + partner) && !Number.isFinite(value);
    if (!isRight && !isSpoiled) throw new Error(`${what} at position ${position}, column ${d} is ${value}, exactly ${exact[d]}`);
    attended[row * headDim + d] = value;
  }
}

/** Prefill turned every token to the same bits that prefill and decode did. */
function checkSameTurn({ testCase, tokens }: Run, layer: number, tensors: TensorSet): void {
  const { headDim, queryHeads, kvHeads, elementType } = shapeOf(testCase.shape);
  for (const [name, heads] of [['q', queryHeads], ['k', kvHeads]] as const) {
    const turned = decodeElements(elementType, tensors.bits(name));
    tokens[layer]!.forEach(({ attended }, n) => {
      const from = tensors.cuSeqlens[n]! * heads * headDim;
      attended[name].forEach((value, index) => {
        if (!Object.is(turned[from + index], value)) throw new Error(`layer ${layer}, sequence ${n}: turned ${name} differs between prefill and decode at element ${index}`);
      });
    });
  }
}

export const range = (begin: number, end: number): number[] => Array.from({ length: Math.max(0, end - begin) }, (_, n) => begin + n);

/** `rows` positions of a sequence, spread evenly, the first and the last among them. */
function sampled(length: number, rows: number | undefined): number[] {
  if (rows === undefined || rows >= length) return range(0, length);
  return [...new Set(range(0, rows).map((n) => Math.floor((n * (length - 1)) / (rows - 1))))];
}
