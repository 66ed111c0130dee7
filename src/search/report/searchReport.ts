/** What a search found, as its report shows it. Made by the search, drawn by `renderReport.ts`. */
import type { ModelShape } from '../../ir/nodes.ts';

/** A point of the Pareto front. */
export interface ReportPlan {
  readonly id: string;
  /** Predicted loss at each length of `SearchReport.lengths`, in nats: the influence that its masks leave out. */
  readonly losses: readonly number[];
  /** Kept KV slots / N at each length, averaged over KV heads. */
  readonly densities: readonly number[];
  /** Of the value that the solver minimised: (value - lower bound) / value, from 0. */
  readonly gap: number;
  /** Of the model with the plan's masks at the validation's length; undefined where no validation ran. */
  readonly validation?: { readonly loss: number; readonly accuracy: number };
}

export interface ReportHead {
  readonly layer: number;
  readonly queryHead: number;
  /** Influence at page granularity, near and far parts added: rows of queries, columns of keys; `pages x pages`. */
  readonly influence: readonly (readonly number[])[];
}

export interface SearchReport {
  readonly model: ModelShape & { readonly name?: string };
  /** Every length that has a loss, rising; tokens. */
  readonly lengths: readonly { readonly length: number; readonly profiled: boolean; /** Samples of the profile. */ readonly samples?: number }[];
  readonly granularity: 'kv-head' | 'query-head';
  readonly rulesPerLayer: number;
  readonly candidates: number;
  /** What was asked for, as a user reads it: `density at 2048 <= 25.0 %`. */
  readonly constraints: readonly string[];
  readonly plans: readonly ReportPlan[];
  /** The `id` of the plan that was chosen, and why: `lowest loss at 4096 tokens`. */
  readonly chosen: string;
  readonly reason: string;
  readonly validation?: { readonly length: number; readonly samples: number; readonly dense: { readonly loss: number; readonly accuracy: number } };
  /** Of the chosen plan. */
  readonly plan: {
    /** Span of each query head at `spanLength`, in tokens: layers x query heads. */
    readonly spans: readonly (readonly number[])[];
    readonly spanLength: number;
    /** `0.25 N + 128`, by how many query heads have it; most first. */
    readonly rules: readonly { readonly rule: string; readonly heads: number }[];
    /** Over a ladder of lengths: what it keeps, and its predicted loss where one is known. */
    readonly curve: readonly { readonly length: number; readonly cacheDensity: number; readonly computeDensity: number; readonly loss?: number }[];
  };
  /** The heads whose influence reaches farthest, and least far, in the longest profile. */
  readonly mostGlobal: readonly ReportHead[];
  readonly mostLocal: readonly ReportHead[];
  /** Seconds by stage, in order. */
  readonly seconds: readonly { readonly stage: string; readonly seconds: number }[];
  readonly version: string;
}
