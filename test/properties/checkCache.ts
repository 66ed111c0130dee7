/** The cache holds exactly the tokens that section 3 says, with the bits they were given. */
import type { Session } from '../../src/runtime/session.ts';
import { keptTokens, type OracleMask } from '../oracle/mask.ts';
import type { Case } from './case.ts';
import type { SequenceInputs } from './inputs.ts';
import { shapeOf } from './shapes.ts';
import { storedBits } from './storedTokens.ts';

export function checkCache(session: Session, testCase: Case, layer: number, slot: number, kvHead: number, ring: OracleMask, inputs: SequenceInputs, length: number): void {
  const { headDim, kvHeads } = shapeOf(testCase.shape);
  const expected = keptTokens(ring, length);
  const found = session.cachedTokens(layer, slot, kvHead);
  const where = `cache of layer ${layer}, sequence ${slot}, KV head ${kvHead} at ${length} tokens`;
  if (found.positions.join() !== expected.join()) throw new Error(`${where} holds positions ${found.positions.join()}, not ${expected.join()}`);
  for (const [name, values, stored] of [
    ['key', inputs.k, found.keys],
    ['value', inputs.v, found.values],
  ] as const) {
    expected.forEach((position, index) => {
      const from = (position * kvHeads + kvHead) * headDim;
      const bits = storedBits(testCase, `${name}s`, layer, kvHead, values.subarray(from, from + headDim));
      for (let d = 0; d < headDim; d += 1) {
        // The bits of a NaN do not matter, and E4M3 has NaN for what is infinite.
        if (inputs.poison?.includes(position) === true && !Number.isFinite(values[from + d]!)) continue;
        if (stored[index * headDim + d] !== bits[d]) throw new Error(`${where}: ${name} of position ${position}, column ${d} is ${stored[index * headDim + d]}, not ${bits[d]}`);
      }
    });
  }
}
