/** A sequence's results do not depend on its neighbours, bit for bit: whether there are any, how long they are, or what they hold. */
import type { Session } from '../../src/runtime/session.ts';
import { specOf, type Case } from './case.ts';
import type { Target } from './harness.ts';
import { firstDifference } from './outputs.ts';
import { chunksOf, makeTokens, range } from './runCase.ts';
import { shapeOf } from './shapes.ts';
import { scalesOf } from './storedTokens.ts';
import { TensorSet } from './tensors.ts';

/** Of prompts, whole or in chunks, and of decode. */
export async function isBatchInvariant(target: Target, testCase: Case): Promise<void> {
  const { prefill, decodes, bound, seed } = testCase;
  const shape = shapeOf(testCase.shape);
  const device = await target.device({ seed, ...(testCase.multiprocessors === undefined ? {} : { multiprocessors: testCase.multiprocessors }) });
  using plan = await target.load(device, specOf(testCase));
  const tokens = makeTokens(testCase);
  const row = shape.queryHeads * shape.headDim;
  const lseRow = 2 * shape.queryHeads;
  const cacheScales = scalesOf(testCase);
  const options = { batch: prefill.length, lengthBound: bound, slots: 'free', poolByte: 0xff, ...(cacheScales === undefined ? {} : { cacheScales }) } as const;

  /** Outputs and LSE `[layer][call][slot]`, as bits, of the sequences in `held`, each in its slot; the others are free. */
  const run = (held: ReadonlySet<number>): Uint16Array[][][] => {
    using session: Session = plan.createSession(options);
    prefill.forEach(() => session.join());
    prefill.forEach((_, slot) => held.has(slot) || session.leave(slot));
    return tokens.map((layerTokens, layer) => {
      /** Of rows `begin .. end - 1` of each sequence. */
      const outputs = (ranges: readonly (readonly [number, number])[], call: (tensors: TensorSet) => void): Uint16Array[] => {
        using tensors = new TensorSet(device, shape, ranges.map(([begin, end], slot) => ({ inputs: layerTokens[slot]!.given, begin, end })));
        call(tensors);
        const bits = tensors.bits('out');
        const lse = new Uint16Array(tensors.lse.read().buffer);
        return ranges.map((_, slot) => {
          const [begin, end] = [tensors.cuSeqlens[slot]!, tensors.cuSeqlens[slot + 1]!];
          return Uint16Array.from([...bits.subarray(begin * row, end * row), ...lse.subarray(begin * lseRow, end * lseRow)]);
        });
      };
      const chunks = chunksOf(testCase).map((chunk) => {
        const ranges = chunk.map(([begin, end], slot) => [begin, held.has(slot) ? end : begin] as const);
        return outputs(ranges, (tensors) => session.prefill(layer, tensors));
      });
      const steps = range(0, decodes).map((step) => outputs(prefill.map((count) => [count + step, count + step + 1] as const), (tensors) => session.decode(layer, tensors)));
      return [...chunks, ...steps];
    });
  };

  const together = run(new Set(prefill.keys()));
  for (const slot of prefill.keys()) {
    const alone = run(new Set([slot]));
    together.forEach((calls, layer) => calls.forEach((slots, call) => firstDifference(`sequence ${slot} without neighbours, layer ${layer}, call ${call}`, slots[slot]!, alone[layer]![call]![slot]!)));
  }
}
