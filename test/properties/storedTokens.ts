/** What the cache makes of keys and values: with 16 bits the elements themselves, with 8 bits their codes at the scale of the head. */
import { encodeElements } from '../../src/runtime/elements.ts';
import type { CacheScales } from '../../src/runtime/cacheScales.ts';
import { e4m3Code, e4m3Value } from '../oracle/e4m3.ts';
import type { Case } from './case.ts';
import type { SequenceInputs } from './inputs.ts';
import { shapeOf } from './shapes.ts';

type Part = 'keys' | 'values';

/** Scales that differ, and are small enough that some elements are past the largest code. */
function scaleOf({ seed }: Case, part: Part, layer: number, kvHead: number): number {
  return Math.fround(0.003 * (1 + ((seed + 7 * layer + 3 * kvHead + (part === 'keys' ? 0 : 5)) % 11)));
}

export function scalesOf(testCase: Case): CacheScales | undefined {
  if (testCase.cacheType !== 'e4m3') return undefined;
  const { kvHeads } = shapeOf(testCase.shape);
  const table = (part: Part): number[][] => testCase.rules.map((_, layer) => Array.from({ length: kvHeads }, (_head, kvHead) => scaleOf(testCase, part, layer, kvHead)));
  return { keys: table('keys'), values: table('values') };
}

/** The bits that the cache holds for one row of one head. */
export function storedBits(testCase: Case, part: Part, layer: number, kvHead: number, row: Float32Array): ArrayLike<number> {
  if (testCase.cacheType !== 'e4m3') return encodeElements(shapeOf(testCase.shape).elementType, row);
  const factor = Math.fround(1 / scaleOf(testCase, part, layer, kvHead));
  return Array.from(row, (value) => e4m3Code(Math.fround(value * factor)));
}

/** The tokens as decode finds them in the cache. */
export function storedTokens(testCase: Case, layer: number, inputs: SequenceInputs): SequenceInputs {
  if (testCase.cacheType !== 'e4m3') return inputs;
  const { kvHeads, headDim } = shapeOf(testCase.shape);
  const through = (part: Part, values: Float32Array): Float32Array => {
    const out = new Float32Array(values.length);
    for (let row = 0; row < values.length / headDim; row += 1) {
      const kvHead = row % kvHeads;
      const bits = storedBits(testCase, part, layer, kvHead, values.subarray(row * headDim, (row + 1) * headDim));
      for (let d = 0; d < headDim; d += 1) out[row * headDim + d] = e4m3Value(bits[d]!) * scaleOf(testCase, part, layer, kvHead);
    }
    return out;
  };
  return { ...inputs, k: through('keys', inputs.k), v: through('values', inputs.v) };
}
