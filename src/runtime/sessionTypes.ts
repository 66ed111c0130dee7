/** What a session is made from, and what its calls take. */
import type { ElementType } from '../ir/nodes.ts';
import type { DeviceBuffer } from './buffer.ts';
import type { CacheScales } from './cacheScales.ts';
import type { NewTokens } from './newTokens.ts';
import type { RopeOptions } from './rope.ts';
import type { SessionShape } from './sessionLayout.ts';
import type { SinkLogits } from './sinkLogits.ts';

export interface SessionOptions extends SessionShape {
  /** Of q, k, v, out and the cache. The package's only one, or its first, by default. */
  readonly elementType?: ElementType;
  /** Multiplies q.k; by default what the model says, else `1 / sqrt(headDim)`. Positive. */
  readonly scale?: number;
  /**
   * How q and k are rotated before keys enter the cache: prefill in the caller's buffers, decode on the way. `model` by default where the
   * package has the model's RoPE, else `none`: then q and k come rotated.
   */
  readonly rope?: RopeOptions;
  /** Of a cache in e4m3: what keys and values are divided by before they are stored; 1 by default. Not allowed with any other cache. */
  readonly cacheScales?: CacheScales;
  /**
   * `held`: every slot begins with an empty sequence of `lengthBound` tokens. `free`: sequences come with `Session.add`. `held` by default.
   */
  readonly slots?: 'held' | 'free';
  /** Of a model with learned sinks: their logits, `[layer of the plan][queryHead]`. Required there, and not allowed elsewhere. */
  readonly sinkLogits?: SinkLogits;
  /** The most new tokens of a sequence in one decode, at most the `--decode-tokens` of the package; 1 by default. */
  readonly decodeTokens?: number;
  /** What every byte of the pool is at first, 0 by default. For tests: 0xff is NaN, which must not leak. @internal */
  readonly poolByte?: number;
  /** The order in which rings take the pool's pages: a permutation of `0 .. pages - 1`. For tests of indirection. */
  readonly pageOrder?: (pages: number) => Int32Array;
}

/** Tensors are contiguous buffers of the session's element type. */
export interface DecodeTensors {
  /** `[batch, tokens, queryHeads, headDim]`. Rows of free slots are ignored; theirs of `out` become 0, of `lse` -inf. */
  readonly q: DeviceBuffer;
  /** `[batch, tokens, kvHeads, headDim]`. */
  readonly k: DeviceBuffer;
  readonly v: DeviceBuffer;
  /** `[batch, tokens, queryHeads, headDim]`. */
  readonly out: DeviceBuffer;
  /** `[batch, tokens, queryHeads]` float32, natural log; optional. */
  readonly lse?: DeviceBuffer;
  /** New tokens of each sequence, at most the session's `decodeTokens`; 1 by default. With more, and where one is appended by a launch of its own (`decode`), q and k are rotated in place when the session has RoPE. */
  readonly tokens?: number;
  /**
   * `[batch]` integers from 0 to `tokens`: how many rows of each sequence are tokens, where drafts differ in length. The others are ignored: not appended, not attended by
   * anyone, not rotated; their rows of `out` become 0, of `lse` -inf. All by default. An array is copied. A device buffer of int32 is read by the launches, and by the host,
   * which waits for it, before each: so a captured step serves counts that change. It takes a session with `decodeTokens` over 1.
   */
  readonly counts?: ArrayLike<number> | DeviceBuffer;
}

/** As for decode, with `rows` in place of `batch, tokens`: the new tokens of each sequence, one sequence after the other. */
export type PackedTensors = Omit<DecodeTensors, 'tokens' | 'counts'>;

/** q and k are rotated in place when the session has RoPE. */
export interface PrefillTensors extends PackedTensors {
  /** First token of each sequence and the end of the last: `batch + 1` integers from 0 that never fall. `cuSeqlens[batch]` rows. */
  readonly cuSeqlens: ArrayLike<number>;
}

/** When the session has RoPE, q and k are rotated in place where a sequence has several new tokens. */
export interface StepTensors extends PackedTensors {
  /**
   * As for prefill; or numbers that lie on the device, for steps that are captured. Then tensors have as many rows as their budget, and those behind the last token are left as
   * they are.
   */
  readonly cuSeqlens: ArrayLike<number> | NewTokens;
}

/** What a sequence begins with. */
export interface AddOptions {
  /** The most tokens that it will hold, its windows follow from that; the session's by default, which is also the most. */
  readonly lengthBound?: number;
}

/** A captured step. Each launch advances the lengths of every session in it as the captured calls would have. */
export interface CapturedStep extends Disposable {
  launch(): void;
  dispose(): void;
}

/** Pages of a session's pool. */
export interface SessionUsage {
  /** Of the pool. */
  readonly pages: number;
  /** Bytes of each. */
  readonly pageBytes: number;
  /** That sequences hold. */
  readonly held: number;
  /** Of them, those that more than one sequence holds. */
  readonly shared: number;
  readonly free: number;
}
