/** What the cache makes of keys and values: with 16 bits the elements themselves, with 8 bits their codes at the scale of the head. */
import { encodeElements } from '../../src/runtime/elements.ts';
import type { CacheScales } from '../../src/runtime/cacheScales.ts';
import { e4m3Code, e4m3Value } from '../oracle/e4m3.ts';
import { toElement } from '../oracle/rounding.ts';
import type { Case } from './case.ts';
import type { SequenceInputs } from './inputs.ts';
import { shapeOf } from './shapes.ts';

type Part = 'keys' | 'values';

/** What stored bits follow from. */
type StoredCase = Pick<Case, 'shape' | 'rules' | 'seed' | 'cacheType'> & Partial<Pick<Case, 'lane'>>;

/**
 * Scales that differ; in the normal lane small enough that some elements are past the largest code, in the others powers of two at which the elements that are compared
 * exactly are codes.
 */
function scaleOf({ seed, lane = 'normal' }: StoredCase, part: Part, layer: number, kvHead: number): number {
  const n = (seed + 7 * layer + 3 * kvHead + (part === 'keys' ? 0 : 5)) % 11;
  return lane === 'normal' ? Math.fround(0.003 * (1 + n)) : 2 ** (n - 5);
}

export function scalesOf(testCase: StoredCase): CacheScales | undefined {
  if (testCase.cacheType !== 'e4m3') return undefined;
  const { kvHeads } = shapeOf(testCase.shape);
  const table = (part: Part): number[][] => testCase.rules.map((_, layer) => Array.from({ length: kvHeads }, (_head, kvHead) => scaleOf(testCase, part, layer, kvHead)));
  return { keys: table('keys'), values: table('values') };
}

/** The bits that the cache holds for one row of one head. */
export function storedBits(testCase: StoredCase, part: Part, layer: number, kvHead: number, row: Float32Array): ArrayLike<number> {
  if (testCase.cacheType !== 'e4m3') return encodeElements(shapeOf(testCase.shape).elementType, row);
  const factor = Math.fround(1 / scaleOf(testCase, part, layer, kvHead));
  return Array.from(row, (value) => (Number.isFinite(value) ? e4m3Code(Math.fround(value * factor)) : 0x7f));
}

type KeysAndValues = Pick<SequenceInputs, 'k' | 'v'>;

/** Writes over the tokens `begin .. end - 1` of `to` what an 8-bit cache makes of those of `from`. */
export function store(testCase: StoredCase, layer: number, from: KeysAndValues, to: KeysAndValues, begin: number, end: number): void {
  const { kvHeads, headDim } = shapeOf(testCase.shape);
  for (const [name, part] of [['k', 'keys'], ['v', 'values']] as const) {
    for (let row = begin * kvHeads; row < end * kvHeads; row += 1) {
      const kvHead = row % kvHeads;
      const scale = scaleOf(testCase, part, layer, kvHead);
      const bits = storedBits(testCase, part, layer, kvHead, from[name].subarray(row * headDim, (row + 1) * headDim));
      for (let d = 0; d < headDim; d += 1) to[name][row * headDim + d] = e4m3Value(bits[d]!) * scale;
    }
  }
}

/** The tokens as decode finds them in the cache. */
export function storedTokens(testCase: Case, layer: number, inputs: SequenceInputs): SequenceInputs {
  if (testCase.cacheType !== 'e4m3') return inputs;
  const stored = { ...inputs, k: new Float32Array(inputs.k.length), v: new Float32Array(inputs.v.length) };
  store(testCase, layer, inputs, stored, 0, inputs.length);
  return stored;
}

/** The tokens as a prefill attends them that begins with token `begin`: those before it as they are in the cache, rounded to the element type. */
export function chunkTokens(testCase: Case, layer: number, inputs: SequenceInputs, begin: number): SequenceInputs {
  if (testCase.cacheType !== 'e4m3' || begin === 0) return inputs;
  const attended = { ...inputs, k: inputs.k.slice(), v: inputs.v.slice() };
  store(testCase, layer, inputs, attended, 0, begin);
  roundTokens(testCase, attended, begin);
  return attended;
}

/** Rounds the first `count` tokens to the element type. */
export function roundTokens({ shape }: StoredCase, tokens: KeysAndValues, count: number): void {
  const { kvHeads, headDim, elementType } = shapeOf(shape);
  for (const values of [tokens.k, tokens.v]) for (let at = 0; at < count * kvHeads * headDim; at += 1) values[at] = toElement(elementType, values[at]!);
}
