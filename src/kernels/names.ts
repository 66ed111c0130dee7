/** The words of which kernels' names are made. */
import type { KernelRope, ScoreOptions } from '../ir/nodes.ts';
import type { KernelBase } from './variant.ts';

/** `bf16_d64_h8_kv2_sink64`. */
export function headsName({ headDim, queryHeads, kvHeads, elementType, sink }: KernelBase): string {
  return `${elementType}_d${headDim}_h${queryHeads}_kv${kvHeads}_sink${sink}`;
}

/** `['cap50', 'lsink']`, of what is on. */
export function scoreTraits({ softCap, learnedSinks }: ScoreOptions): readonly string[] {
  return [
    ...(softCap > 0 ? [`cap${String(softCap).replace('.', 'p')}`] : []),
    ...(learnedSinks ? ['lsink'] : []),
  ];
}

/** `rope`, `rope64`, `rope_interleaved`. */
export function ropeTraits(
  { rotaryDim, pairing }: KernelRope,
  { headDim }: Pick<KernelBase, 'headDim'>,
): readonly string[] {
  if (rotaryDim === 0) return [];
  return [
    rotaryDim < headDim ? `rope${rotaryDim}` : 'rope',
    ...(pairing === 'interleaved' ? ['interleaved'] : []),
  ];
}
