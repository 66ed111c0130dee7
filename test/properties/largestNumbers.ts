import type { KernelFamily } from '../../src/arch/arch.ts';
import type { Target } from './harness.ts';
import { firstDifference } from './outputs.ts';
import { shapeOf } from './shapes.ts';
import { TensorSet } from './tensors.ts';

/** The largest number of each type. */
const largest = { fp16: 65504, bf16: 255 * 2 ** 120 } as const;

/** The largest numbers of an element type, whose nearest codes in E4M3 are larger, are attended as they were. */
export async function largestNumbersStay(target: Target, shape: string, family: KernelFamily): Promise<void> {
  const { elementType, queryHeads, kvHeads, headDim } = shapeOf(shape);
  const most = largest[elementType];
  // 436 times the scale: between the codes of 416 and 448, and nearer to the latter.
  const scales = [Array.from({ length: kvHeads }, () => most / 436)];
  const length = 32;
  const k = new Float32Array(length * kvHeads * headDim).fill(most);
  const v = Float32Array.from(k, (_, n) => (n >= kvHeads * headDim ? 0 : n % 2 === 0 ? most : -most));
  const inputs = { length, queryHeads, kvHeads, headDim, scale: 1, q: new Float32Array(length * queryHeads * headDim), k, v, targets: new Int32Array(0) };

  const device = await target.device();
  using plan = await target.load(device, { shape, rules: [Array.from({ length: queryHeads }, () => [0, 1, 1] as const)], rope: false, family, cacheType: 'e4m3' });
  using session = plan.createSession({ batch: 1, lengthBound: 80, cacheScales: { keys: scales, values: scales } });
  using prompt = new TensorSet(device, shapeOf(shape), [{ inputs, begin: 0, end: length - 1 }]);
  session.prefill(0, prompt);
  using chunk = new TensorSet(device, shapeOf(shape), [{ inputs, begin: length - 1, end: length }]);
  session.prefill(0, chunk);
  // The mean of 32 values, of which one is not 0.
  const means = Array.from({ length: queryHeads * headDim }, (_, n) => (n % 2 === 0 ? most : -most) / length);
  firstDifference(`the largest numbers of ${elementType}`, chunk.values('out'), means);
}
