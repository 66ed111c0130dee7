/** What is asked of a search. */
import type { SpanLimits } from '../ir/rule.ts';
import type { LatencyTable } from './latencyTable.ts';

export type Granularity = 'kv-head' | 'query-head';

/** An upper bound on the plan at a length. */
export type Constraint =
  /** Kept KV slots / N, averaged over heads. */
  | { readonly kind: 'density'; readonly length: number; readonly bound: number }
  /** Time of the kernels / their time when every head is dense. */
  | { readonly kind: 'latency'; readonly length: number; readonly bound: number; readonly table: LatencyTable }
  /** Predicted loss, in nats. */
  | { readonly kind: 'loss'; readonly length: number; readonly bound: number };

/** A length whose loss counts, and how much. */
export interface Objective {
  readonly length: number;
  readonly weight: number;
}

export interface SearchRequest {
  readonly granularity: Granularity;
  /** The most different rules in a layer; 0 is any number. */
  readonly rulesPerLayer: number;
  readonly limits: SpanLimits;
  /** Tokens between alphas of the grid. */
  readonly alphaStep?: number;
  /** Betas of the grid. */
  readonly betas?: number;
  /** Loss at each profiled length, and at longer ones where it is extrapolated; rising. */
  readonly objectives: readonly Objective[];
  /** On density and latency. */
  readonly constraints: readonly Constraint[];
  /** (value - lower bound) / value that is good enough. */
  readonly gap: number;
  /** Whether a mixed-integer program closes what the exchanges leave. */
  readonly exact: boolean;
}
