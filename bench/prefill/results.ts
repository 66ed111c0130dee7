/** The files of the prefill benchmark: what ours.ts and peers.py write, and what report.ts makes of them. */
import { sortRows, type ComparedRow, type PlanFacts } from '../lib/implementations.ts';
import type { ElementType } from '../lib/buffers.ts';
import type { Scenario, ScenarioName } from './scenarios.ts';

/** Of the mean layer. Pairs are those of all its query heads. */
export interface Times {
  /** Layers that were measured; of a dense peer, for which all are alike, one. */
  readonly layers: number;
  /** Attention alone. */
  readonly ms: number;
  /** Append and attention; peers append nothing. */
  readonly withAppendMs?: number;
  /** What the host needed to start the attention: where it is not less than `ms`, the GPU waited for it. */
  readonly hostMs?: number;
  /** That the plan allows; of a dense peer, that are causal. */
  readonly activePairs: number;
  readonly activeTflops: number;
  /** Of the tiles that are computed, where that is known. */
  readonly computedPairs?: number;
  readonly computedTflops?: number;
}

export interface Point extends ComparedRow {
  readonly dtype: ElementType;
  readonly scenario: ScenarioName;
  /** Of all sequences together; N where there is one. */
  readonly tokens: number;
  /** Tokens of each sequence that are in the cache before. */
  readonly held: number;
}

/** A point that could not be measured. */
export interface FailedRow extends Point {
  readonly error: string;
}

export interface MeasuredRow extends Point, Times {}

export type Row = MeasuredRow | FailedRow;

export const isMeasured = (row: Row): row is MeasuredRow => !('error' in row);

/** Whether a row belongs to the sweep over N, of which lines are fitted and figures made. */
export const inSweep = ({ scenario, dtype }: Point): boolean => scenario === 'one' && dtype === 'bf16';

/** `prefill-ours.json`. */
export interface OursFile {
  readonly device: string;
  readonly plans: Readonly<Record<string, PlanFacts>>;
  readonly scenarios: readonly Scenario[];
  readonly rows: readonly Row[];
}

/** The kernel options that were the fastest for FlexAttention, by headDim. */
export type FlexOptions = Readonly<Record<string, { readonly options: Readonly<Record<string, number>>; readonly ms: number; readonly tried: number; readonly failed: number }>>;

/** `prefill-peers.json`. */
export interface PeersFile {
  readonly device: string;
  readonly torch: string;
  readonly cudnn: number;
  readonly flexOptions: FlexOptions;
  /** Points that a peer had no time for. */
  readonly leftOut: Readonly<Record<string, number>>;
  readonly rows: readonly Row[];
}

const scenarioOrder: readonly ScenarioName[] = ['one', 'chunked', 'ragged', 'mixed'];

/** By plan and implementation, then by scenario, type, N and tokens held. */
export const inOrder = <Some extends Row>(rows: readonly Some[]): Some[] =>
  sortRows(rows, ({ scenario, dtype, tokens, held }) => [scenarioOrder.indexOf(scenario), dtype === 'bf16' ? 0 : 1, tokens, held]);
