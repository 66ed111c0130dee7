/** What is compared: variants of ours, and peers. Their order and their names in tables and figures. */

/** Titles of the peers by their name in results, in the order of tables. */
export const peers = {
  flash: 'FlashAttention-2, dense',
  cudnn: 'cuDNN, dense',
  flex: 'FlexAttention',
  'heads-flash': 'per head group, FlashAttention-2',
  'heads-cudnn': 'per head group, cuDNN',
  'flash-varlen': 'FlashAttention-2, dense, packed',
  'cudnn-varlen': 'cuDNN, dense, packed',
} as const satisfies Readonly<Record<string, string>>;

/** What rows of every benchmark have. */
export interface ComparedRow {
  readonly plan: string;
  /** The variant of ours, or the peer. */
  readonly implementation: string;
}

/** What the peers need to know of a plan. */
export interface PlanFacts {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly sink: number;
  /** The window of each query head, by N and layer: of the layers that peers are measured for. */
  readonly windows: Readonly<Record<number, Readonly<Record<number, readonly number[]>>>>;
}

export const isPeer = (implementation: string): implementation is keyof typeof peers => Object.hasOwn(peers, implementation);
export const titleOf = (implementation: string): string => (isPeer(implementation) ? peers[implementation] : `ours, ${implementation}`);

/** Each name once, in the order of the rows. */
export const namesOf = <Row>(rows: readonly Row[], name: (row: Row) => string): string[] => [...new Set(rows.map(name))];

/** Ours in the order of the run, then the peers in that of the table above. */
export function implementationsOf(rows: readonly ComparedRow[]): string[] {
  const names = namesOf(rows, (row) => row.implementation);
  return [...names.filter((name) => !isPeer(name)), ...Object.keys(peers).filter((name) => names.includes(name))];
}

/** Plans in the order of the run; of each ours first; then by `keysOf`, each key rising. */
export function sortRows<Row extends ComparedRow>(rows: readonly Row[], keysOf: (row: Row) => readonly number[]): Row[] {
  const plans = namesOf(rows, (row) => row.plan);
  const implementations = implementationsOf(rows);
  const keys = (row: Row): number[] => [plans.indexOf(row.plan), implementations.indexOf(row.implementation), ...keysOf(row)];
  return [...rows].sort((a, b) => {
    const [left, right] = [keys(a), keys(b)];
    const at = left.findIndex((key, index) => key !== right[index]);
    return at < 0 ? 0 : left[at]! - right[at]!;
  });
}
