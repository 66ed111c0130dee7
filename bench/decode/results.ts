/** The files of the decode benchmark: what ours.ts and peers.py write, and what report.ts makes of them. */
import { sortRows, type ComparedRow, type PlanFacts } from '../lib/implementations.ts';

/** Of one layer: medians and percentiles of replays of a CUDA graph, over the layers in it. */
export interface Times {
  readonly us: number;
  readonly p10Us: number;
  readonly p90Us: number;
  /** Of keys and values that are read. */
  readonly bytes: number;
  readonly tbps: number;
}

export interface Point extends ComparedRow {
  /** N. */
  readonly tokens: number;
  readonly batch: number;
}

/** A point that could not be measured. */
export interface FailedRow extends Point {
  readonly error: string;
}

/** `layers` of ours are those that were measured, by number; of a dense peer, for which all are alike, how many. */
export interface MeasuredRow extends Point, Times {
  readonly layers: readonly number[] | number;
}

export type Row = MeasuredRow | FailedRow;

export const isMeasured = (row: Row): row is MeasuredRow => !('error' in row);

/** `decode-ours.json`. */
export interface OursFile {
  readonly device: string;
  readonly plans: Readonly<Record<string, PlanFacts>>;
  readonly rows: readonly Row[];
}

/** `decode-peers.json`. */
export interface PeersFile {
  readonly device: string;
  readonly torch: string;
  readonly cudnn: number;
  /** A plain sum of 4 GiB: the ceiling. */
  readonly readTbps: number;
  /** Points that a peer had no time for. */
  readonly leftOut: Readonly<Record<string, number>>;
  readonly rows: readonly Row[];
}

/** By plan and implementation, then by N and batch. */
export const inOrder = <Some extends Row>(rows: readonly Some[]): Some[] => sortRows(rows, ({ tokens, batch }) => [tokens, batch]);
