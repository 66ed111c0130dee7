import type { Session } from 'moa-compile/runtime';
import type { Tensors } from './buffers.ts';

/**
 * Puts `length` tokens of every sequence into the cache of `layers`: a prefill of one sequence after the other, all from the same `prompt`, so that a
 * batch of any size needs the input of one. (A cache needs data, not different data.) `slots`: the first so many.
 */
export function fillRings(session: Session, layers: readonly number[], prompt: Tensors, length: number, slots = session.batch): void {
  for (let slot = 0; slot < slots; slot += 1) {
    const cuSeqlens = Int32Array.from({ length: session.batch + 1 }, (_, at) => (at <= slot ? 0 : length));
    for (const layer of layers) session.prefill(layer, { ...prompt, cuSeqlens });
  }
}
