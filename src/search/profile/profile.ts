/** What an influence profile says: docs/search-formats.md. */
import type { AttentionFacts, ElementType, ModelShape } from '../../ir/nodes.ts';

export const PAGE = 64;

/** What influence is a change of: docs/search-formats.md. */
export const TARGETS = ['cross-entropy', 'margin'] as const;

export interface ProfiledLength {
  /** Tokens; a multiple of 64. */
  readonly length: number;
  readonly samples: number;
  readonly answerTokens: number;
  /** Of the dense model, in nats. */
  readonly loss: number;
}

/** The description in a profile's metadata. */
export interface ProfileDescription {
  readonly model: ModelShape & Partial<AttentionFacts> & {
    readonly name?: string;
    readonly elementType?: ElementType;
    /** By layer: the model's own sliding window in tokens, null where it has none. Absent in profiles of earlier versions. */
    readonly windows?: readonly (number | null)[];
  };
  readonly page: typeof PAGE;
  /** Rising. */
  readonly lengths: readonly ProfiledLength[];
  /** SHA-256 of the data that it was made from, in hex. */
  readonly data: { readonly sha256: string };
  /** Samples that were longer than all lengths. */
  readonly skipped: number;
  readonly target: (typeof TARGETS)[number];
  /** Of the files of the model's folder (`search/modelFingerprint.ts`). Absent in profiles of earlier versions. */
  readonly fingerprint?: string;
}

export interface Profile extends ProfileDescription {
  readonly kind: 'profile';
  readonly file: string;
  /** Of the whole file, in hex. */
  readonly sha256: string;
  /**
   * `loss_N(m)` for m = 0 .. N/64 pages of window behind `sinkPages` pages of sink: the influence that the window leaves out. `sinkPages` is one
   * of those that the profile was read for. Never changes; not to be written to.
   */
  readonly tail: (lengthIndex: number, layer: number, queryHead: number, sinkPages: number) => Float64Array;
  /** Influence by block, near and far parts added, pages x pages, rows of queries. Reads the file again; a `DiagnosticError` if it changed. */
  readonly influenceMap: (lengthIndex: number, layer: number, queryHead: number) => Promise<Float32Array>;
}
