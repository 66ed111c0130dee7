/** Compares rows of one (sequence, head) with the oracle, by the rule of their lane. */
import { attentionRow, sameTypeRow } from '../oracle/attention.ts';
import { attendedKeys, type OracleMask } from '../oracle/mask.ts';
import { ErrorMeter, lseLimit } from '../oracle/tolerance.ts';
import { codeSize, type Lane, type SequenceInputs } from './inputs.ts';
import { attendsPoison } from './poison.ts';
import type { Shape } from './shapes.ts';

export interface FoundRows {
  /** Decoded output and LSE of a batch. */
  readonly out: Float32Array;
  readonly lse: Float32Array;
  /** The token row of the sequence's position 0 in them; it may be negative when they begin later. */
  readonly firstRow: number;
}

export interface RowCheck {
  readonly shape: Shape;
  readonly lane: Lane;
  readonly inputs: SequenceInputs;
  readonly head: number;
  readonly mask: OracleMask;
  readonly positions: readonly number[];
  readonly found: FoundRows;
  /** From `scaledKeys`, for the normal lane. */
  readonly scaledKeys: Float32Array;
}

/** What was compared, over everything of a run. */
export interface Tally {
  rows: number;
  /** The largest error in units of the plain computation's (`ErrorMeter.multiple`); 2 are allowed. */
  multiple: number;
  /** The largest deviation of an LSE, in units of its limit. */
  lseShare: number;
}

export const newTally = (): Tally => ({ rows: 0, multiple: 0, lseShare: 0 });

/** Throws an Error that says where the rows are wrong. */
export function checkRows(whole: RowCheck, tally: Tally): void {
  const { lane } = whole;
  tally.rows += whole.positions.length;
  const spoiled = whole.positions.filter((i) => attendsPoison(whole.inputs, whole.mask, i));
  spoiled.forEach((i) => checkSpoiled(whole, i));
  const positions = spoiled.length === 0 ? whole.positions : whole.positions.filter((i) => !spoiled.includes(i));
  if (positions.length === 0) return;
  const check = { ...whole, positions };
  if (lane === 'normal') return checkNormal(check, tally);
  for (const i of positions) {
    if (lane === 'uniform') checkUniform(check, i);
    else checkOneHot(check, i);
    checkLse(check, i, tally);
  }
}

function checkNormal(check: RowCheck, tally: Tally): void {
  const { shape, inputs, head, mask, positions, found } = check;
  const meter = new ErrorMeter(shape.elementType);
  for (const i of positions) {
    const exact = attentionRow(inputs, head, i, mask);
    const same = sameTypeRow(inputs, check.scaledKeys, shape.elementType, head, i, mask);
    meter.add(found.out, at(check, i), exact.out, same.out, `position ${i}`);
    compareLse(check, i, exact.lse, tally);
  }
  tally.multiple = Math.max(tally.multiple, meter.multiple);
  const wrong = meter.verdict();
  if (wrong !== undefined) throw new Error(`head ${head}, positions ${positions[0]} to ${positions.at(-1)}: ${wrong}`);
}

/** A row that attends what is not finite says so: its output is NaN. */
function checkSpoiled(check: RowCheck, i: number): void {
  const { shape, head, found } = check;
  for (let d = 0; d < shape.headDim; d += 1) {
    const value = found.out[at(check, i) + d]!;
    if (!Number.isNaN(value)) throw new Error(`head ${head}, position ${i}, column ${d}: attends a token that is not finite, found ${value}`);
  }
}

/** Output x denominator, which is the count but for a learned sink, is the sum of the attended values, an integer that rounding cannot hide. */
function checkUniform(check: RowCheck, i: number): void {
  const { shape, inputs, head, mask, found } = check;
  const kvHead = Math.floor(head / (shape.queryHeads / shape.kvHeads));
  const keys = attendedKeys(mask, i);
  const denominator = keys.length + Math.exp(sinkOf(check));
  for (let d = 0; d < shape.headDim; d += 1) {
    let sum = 0;
    for (const j of keys) sum += inputs.v[(j * shape.kvHeads + kvHead) * shape.headDim + d]!;
    const value = found.out[at(check, i) + d]!;
    if (Math.abs(sum) > 127) throw new Error('the case is badly made: sums must be recovered from 8 bits');
    if (Math.round(value * denominator) !== sum && !(value === 0 && sum === 0)) {
      throw new Error(`head ${head}, position ${i}, column ${d}: the values of ${keys.length} keys sum to ${sum}, found ${value * denominator}`);
    }
  }
}

function checkOneHot(check: RowCheck, i: number): void {
  const { shape, inputs, head, found } = check;
  const kvHead = Math.floor(head / (shape.queryHeads / shape.kvHeads));
  const target = inputs.targets[i * shape.queryHeads + head]!;
  for (let d = 0; d < shape.headDim; d += 1) {
    const [expected, value] = [inputs.v[(target * shape.kvHeads + kvHead) * shape.headDim + d]!, found.out[at(check, i) + d]!];
    if (value !== expected) throw new Error(`head ${head}, position ${i}, column ${d}: the value of key ${target} is ${expected}, found ${value}`);
  }
}

function checkLse(check: RowCheck, i: number, tally: Tally): void {
  const { lane, mask, inputs, shape } = check;
  const ofKeys = lane === 'uniform' ? Math.log(attendedKeys(mask, i).length) : inputs.scale * codeSize ** 2 * shape.headDim;
  compareLse(check, i, ofKeys + Math.log1p(Math.exp(sinkOf(check) - ofKeys)), tally);
}

const sinkOf = ({ inputs, head }: RowCheck): number => inputs.sinkLogits?.[head] ?? -Infinity;

function compareLse(check: RowCheck, i: number, exact: number, tally: Tally): void {
  const { shape, inputs, head, found } = check;
  const value = found.lse[(found.firstRow + i) * shape.queryHeads + head]!;
  const score = inputs.scale * norm(inputs.q, (i * shape.queryHeads + head) * shape.headDim, shape.headDim) * largestKey(inputs);
  const sink = Math.abs(sinkOf(check));
  const limit = lseLimit(Math.max(score, sink < Infinity ? sink : 0)) + cappingError * (inputs.softCap ?? 0);
  const error = Math.abs(value - exact);
  tally.lseShare = Math.max(tally.lseShare, error / limit);
  if (!(error <= limit)) throw new Error(`head ${head}, position ${i}: LSE is ${value}, exactly ${exact}; limit ${limit.toExponential(2)}`);
}

/** Of a logit, in units of the cap, as templates/include/moa/scoreOptions.cuh promises. */
const cappingError = 5e-7;

const at = ({ shape, head, found }: RowCheck, i: number): number => ((found.firstRow + i) * shape.queryHeads + head) * shape.headDim;

function norm(values: Float32Array, from: number, count: number): number {
  let sum = 0;
  for (let d = 0; d < count; d += 1) sum += values[from + d]! ** 2;
  return Math.sqrt(sum);
}

const largestKeys = new WeakMap<SequenceInputs, number>();

function largestKey(inputs: SequenceInputs): number {
  let largest = largestKeys.get(inputs);
  if (largest === undefined) {
    largest = 0;
    for (let row = 0; row < inputs.length * inputs.kvHeads; row += 1) {
      if (inputs.poison?.includes(Math.floor(row / inputs.kvHeads)) !== true) largest = Math.max(largest, norm(inputs.k, row * inputs.headDim, inputs.headDim));
    }
    largestKeys.set(inputs, largest);
  }
  return largest;
}
