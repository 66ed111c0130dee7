/** A sequence's results do not depend on its neighbours, bit for bit: whether there are any, how long they are, or what they hold. */
import type { Session } from '../../src/runtime/session.ts';
import { specOf, type Case } from './case.ts';
import type { Target } from './harness.ts';
import { firstDifference } from './outputs.ts';
import { makeTokens, range } from './runCase.ts';
import { shapeOf } from './shapes.ts';
import { TensorSet, type Piece } from './tensors.ts';

export async function decodeIsBatchInvariant(target: Target, testCase: Case): Promise<void> {
  const { prefill, decodes, bound, seed } = testCase;
  const shape = shapeOf(testCase.shape);
  const device = await target.device({ seed, ...(testCase.multiprocessors === undefined ? {} : { multiprocessors: testCase.multiprocessors }) });
  using plan = await target.load(device, specOf(testCase));
  const tokens = makeTokens(testCase);
  const row = shape.queryHeads * shape.headDim;

  /** Outputs `[layer][step][slot]` of the sequences in `held`, each in its slot; the others are free. */
  const run = (held: ReadonlySet<number>): Uint16Array[][][] => {
    using session: Session = plan.createSession({ batch: prefill.length, lengthBound: bound, slots: 'free', poolByte: 0xff });
    prefill.forEach(() => session.join());
    prefill.forEach((_, slot) => held.has(slot) || session.leave(slot));
    return tokens.map((layerTokens, layer) => {
      const piecesFrom = (begin: (slot: number) => number, count: (slot: number) => number): Piece[] =>
        prefill.map((_, slot) => ({ inputs: layerTokens[slot]!.given, begin: begin(slot), end: begin(slot) + count(slot) }));
      using start = new TensorSet(device, shape, piecesFrom(() => 0, (slot) => (held.has(slot) ? prefill[slot]! : 0)));
      session.prefill(layer, start);
      return range(0, decodes).map((step) => {
        using tensors = new TensorSet(device, shape, piecesFrom((slot) => prefill[slot]! + step, () => 1));
        session.decode(layer, tensors);
        const bits = tensors.bits('out');
        return prefill.map((_, slot) => bits.slice(slot * row, (slot + 1) * row));
      });
    });
  };

  const together = run(new Set(prefill.keys()));
  for (const slot of prefill.keys()) {
    const alone = run(new Set([slot]));
    together.forEach((steps, layer) => steps.forEach((slots, step) => firstDifference(`sequence ${slot} without neighbours, layer ${layer}, step ${step}`, slots[slot]!, alone[layer]![step]![slot]!)));
  }
}
