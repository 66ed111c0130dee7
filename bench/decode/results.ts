/** The files of the decode benchmark: what ours.ts and peers.py write, and what report.ts makes of them. */

/** Of one layer: medians and percentiles of replays of a CUDA graph, over the layers in it. */
export interface Times {
  readonly us: number;
  readonly p10Us: number;
  readonly p90Us: number;
  /** Of keys and values that are read. */
  readonly bytes: number;
  readonly tbps: number;
}

export interface Point {
  readonly plan: string;
  /** The variant of ours, or the peer. */
  readonly implementation: string;
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

/** What the peers need to know of a plan. */
export interface PlanFacts {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly sink: number;
  /** The window of each query head, by N and layer: of the layers that were measured. */
  readonly windows: Readonly<Record<number, Readonly<Record<number, readonly number[]>>>>;
}

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

/** Peers by the name in results: their titles, and whether they read dense caches. */
export const peers = {
  flash: { title: 'FlashAttention-2, dense', dense: true },
  cudnn: { title: 'cuDNN, dense', dense: true },
  flex: { title: 'FlexAttention', dense: false },
  'heads-flash': { title: 'per head group, FlashAttention-2', dense: false },
  'heads-cudnn': { title: 'per head group, cuDNN', dense: false },
} as const satisfies Readonly<Record<string, { readonly title: string; readonly dense: boolean }>>;

/** Plans in the order of the run; of each ours first; then by N and batch. */
export function inOrder<Some extends Row>(rows: readonly Some[]): Some[] {
  const plans = namesOf(rows, (row) => row.plan);
  const implementations = implementationsOf(rows);
  const keys = (row: Row): number[] => [plans.indexOf(row.plan), implementations.indexOf(row.implementation), row.tokens, row.batch];
  return [...rows].sort((a, b) => {
    const [left, right] = [keys(a), keys(b)];
    const at = left.findIndex((key, index) => key !== right[index]);
    return at < 0 ? 0 : left[at]! - right[at]!;
  });
}

/** Ours in the order of the run, then the peers in that of the table above. */
export function implementationsOf(rows: readonly Row[]): string[] {
  const names = namesOf(rows, (row) => row.implementation);
  return [...names.filter((name) => !isPeer(name)), ...Object.keys(peers).filter((name) => names.includes(name))];
}

export const namesOf = (rows: readonly Row[], name: (row: Row) => string): string[] => [...new Set(rows.map(name))];

export const isPeer = (implementation: string): implementation is keyof typeof peers => Object.hasOwn(peers, implementation);
export const titleOf = (implementation: string): string => (isPeer(implementation) ? peers[implementation].title : `ours, ${implementation}`);
