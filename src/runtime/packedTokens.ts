/** What packed calls (`packedCalls.ts`), their plans and their launches say of new tokens. */
import type { PrefillNeeds, PrefillRoom } from './prefillRoom.ts';
import type { Lengths } from './sequences.ts';

/** New tokens of a packed call, by the memory that they lie in. */
export interface PackedTokens {
  /** Rows of the tensors. */
  readonly rows: number;
  /** The address of where each slot's rows begin. */
  readonly cuSeqlens: bigint;
  readonly room: PrefillRoom;
  /** Sequences with fewer new tokens have no items of prefill. */
  readonly fewest: number;
  /** Whether some sequence may be decoded, and whether some may have items. */
  readonly decodes: boolean;
  readonly prefills: boolean;
  readonly needs: PrefillNeeds;
}

/** A packed call whose lengths the host knows. */
export interface PackedCall extends PackedTokens {
  /** Behind the call. */
  readonly lengths: Lengths;
  /** Brings the numbers to the device where they do not lie there yet. */
  readonly write: () => void;
}
