import type { Architecture } from '../arch/arch.ts';
import type { CacheType, ElementType, Module } from '../ir/nodes.ts';
import type { MaskFamily } from '../mask/mask.ts';

/** What may be left out of kernels, to measure what it buys. */
export type Ablation = 'unspecialised' | 'tensor-cores' | 'cuda-cores';

/** What passes may know besides the module: options of this compilation, fixed before the first pass. */
export interface PassContext {
  /** Rising, without repeats. */
  readonly architectures: readonly Architecture[];
  readonly elementTypes: readonly ElementType[];
  /** Whether append and decode kernels that rotate (RoPE) are emitted beside those that do not. */
  readonly rope: boolean;
  readonly cacheType: CacheType;
  /** Tokens that a ring keeps beyond its span, whole pages; 0 for none. */
  readonly slack: number;
  /** The most new tokens of a sequence in one decode; over 1 there is a kernel for it, and `slack` holds one less. */
  readonly decodeTokens: number;
  /**
   * `unspecialised`: no shape compiled in, no balanced schedule of decode, and prefill's items in no order of cost. The others, of decode: that unit, where the tables choose the other; CUDA cores only with
   * 16-bit caches and groups up to 8.
   */
  readonly ablations: readonly Ablation[];
  /** The mask of a kernel follows from its sink. */
  readonly mask: MaskFamily;
}

/** A pass: a pure function of module and context. A module it has nothing to do for is returned as it came. */
export interface Pass<From extends Module = Module, To extends Module = Module> {
  readonly name: string;
  readonly run: (module: From, context: PassContext) => To;
}
