/** A certificate as docs/search-formats.md describes it, after its reader. */
import type { JsonValue } from '../../util/jsonReader.ts';
import type { LatencyTable } from '../latencyTable.ts';

export const MAX_CANDIDATES = 256;
export const MAX_CONSTRAINTS = 64;
/** With a loss. */
export const MAX_LENGTHS = 16;
export const MAX_RULES_PER_LAYER = 3;

export interface Candidate {
  readonly alpha: number;
  readonly beta: number;
  /** `beta` as the fraction that a plan's beta becomes. */
  readonly numerator: number;
  readonly denominator: number;
}

export type Constraint =
  | { readonly kind: 'density' | 'loss'; readonly length: number; readonly bound: number }
  | { readonly kind: 'latency'; readonly length: number; readonly bound: number; readonly table: LatencyTable };

export interface Certificate {
  readonly profile: { readonly sha256: string; readonly lengths: readonly number[] };
  readonly granularity: 'kv-head' | 'query-head';
  /** 0: any number. */
  readonly rulesPerLayer: number;
  readonly candidates: readonly Candidate[];
  readonly objective: readonly { readonly length: number; readonly weight: number }[];
  readonly constraints: readonly Constraint[];
  /** One for each constraint. */
  readonly multipliers: readonly number[];
  readonly lowerBound: number;
  readonly value: number;
  readonly exact?: { readonly lowerBound: number; readonly method: string };
  readonly instance: string;
  /** The parts that `instance` is made of, as they were written. */
  readonly facts: { readonly [key in 'candidates' | 'constraints' | 'granularity' | 'objective' | 'profile' | 'rulesPerLayer']: JsonValue };
}
