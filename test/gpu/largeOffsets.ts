/**
 * Tensors of more than 2^31 elements: two sequences lie behind 524,288 tokens of a constant, at offsets that 32 bits do not hold. An offset
 * that wraps reads the constant, and is seen.
 */
import { decodeElements, encodeElements } from '../../src/runtime/elements.ts';
import type { DeviceBuffer } from '../../src/runtime/buffer.ts';
import { scaledKeys } from '../oracle/attention.ts';
import { masksOf, type Case } from '../properties/case.ts';
import { checkRows, newTally, type Tally } from '../properties/checkRows.ts';
import type { Target } from '../properties/harness.ts';
import { makeInputs } from '../properties/inputs.ts';
import { range } from '../properties/runCase.ts';
import { shapeOf } from '../properties/shapes.ts';

const longLength = 131072;
const testCase: Case = { shape: 'vicuna', rules: [range(0, 32).map((head) => [128 + 64 * (head % 3), 0, 1] as const)], bound: longLength, prefill: [longLength, longLength, longLength, longLength, 300, 77], decodes: 0, lane: 'normal', seed: 9 };
/** bf16 0x3c3c. */
const constantByte = 0x3c;

export async function largeOffsets(target: Target, family: NonNullable<Case['family']>): Promise<Tally> {
  const shape = shapeOf(testCase.shape);
  const { elementType, headDim, queryHeads } = shape;
  const device = await target.device();
  using plan = await target.load(device, { shape: testCase.shape, rules: testCase.rules, rope: false, family });
  using session = plan.createSession({ batch: testCase.prefill.length, lengthBound: testCase.bound });
  const row = queryHeads * headDim;
  const cuSeqlens = [0];
  for (const length of testCase.prefill) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  const tokens = cuSeqlens.at(-1)!;
  if (tokens * row <= 2 ** 31) throw new Error('the case is too small');

  const masks = masksOf(testCase, 0);
  const inputs = testCase.prefill.map((length, n) => (n < 4 ? undefined : makeInputs({ shape, lane: 'normal', length, masks, seed: n })));
  const tensors: Record<'q' | 'k' | 'v' | 'out', DeviceBuffer> = { q: device.alloc(tokens * row * 2), k: device.alloc(tokens * row * 2), v: device.alloc(tokens * row * 2), out: device.alloc(tokens * row * 2) };
  const lse = device.alloc(tokens * queryHeads * 4);
  try {
    tensors.out.fill(0xff);
    for (const name of ['q', 'k', 'v'] as const) {
      tensors[name].fill(constantByte);
      inputs.forEach((sequence, n) => sequence && tensors[name].write(encodeElements(elementType, sequence[name]), cuSeqlens[n]! * row * 2));
    }
    session.prefill(0, { ...tensors, lse, cuSeqlens });
    const tally = newTally();
    for (const [n, sequence] of inputs.entries()) {
      const length = testCase.prefill[n]!;
      if (sequence === undefined) {
        const last = tensors.out.read(new Uint16Array(row), (cuSeqlens[n]! + length - 1) * row * 2);
        const wrong = last.findIndex((bits) => bits !== constantByte * 0x101);
        if (wrong >= 0) throw new Error(`sequence ${n}: the mean of a constant is ${last[wrong]} at element ${wrong}`);
        continue;
      }
      const out = decodeElements(elementType, tensors.out.read(new Uint16Array(length * row), cuSeqlens[n]! * row * 2));
      const logSums = lse.read(new Float32Array(length * queryHeads), cuSeqlens[n]! * queryHeads * 4);
      const scaled = scaledKeys(sequence, elementType);
      for (const head of [0, 1, 2, 15, 31]) {
        checkRows({ shape, lane: 'normal', inputs: sequence, head, mask: masks[head]!, positions: range(0, length), found: { out, lse: logSums, firstRow: 0 }, scaledKeys: scaled }, tally);
      }
    }
    return tally;
  } finally {
    for (const buffer of [...Object.values(tensors), lse]) buffer.dispose();
  }
}
