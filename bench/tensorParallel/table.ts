/** The table of docs/tensor-parallel.md, from bench/results/tensor-parallel.json. */
import { table } from '../lib/markdown.ts';

export interface Balance {
  readonly worstLayer: number;
  readonly meanOfLayers: number;
  readonly allLayers: number;
  readonly prefillWorstLayer: number;
  readonly prefillMeanOfLayers: number;
  readonly cacheBytes: readonly number[];
}

export interface Row {
  readonly plan: string;
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly ranks: number;
  /** To find the assignment. */
  readonly milliseconds: number;
  readonly provenLayers: number;
  readonly lengths: readonly { readonly length: number; readonly contiguous: Balance; readonly assigned: Balance }[];
}

/** Before and after at one length, a row for each plan and number of ranks. */
export function balanceTable(rows: readonly Row[], length: number): string {
  const fullest = ({ cacheBytes }: Balance): number => (Math.max(...cacheBytes) * cacheBytes.length) / cacheBytes.reduce((sum, bytes) => sum + bytes, 0);
  const beside = (contiguous: Balance, assigned: Balance, of: (balance: Balance) => number): string => `${of(contiguous).toFixed(3)}, ${of(assigned).toFixed(3)}`;
  return table(
    ['plan', 'KV heads', 'ranks', 'worst layer', 'mean of layers', 'all layers', 'prefill, mean of layers', 'cache of the fullest rank'],
    rows.map(({ plan, kvHeads, ranks, lengths }) => {
      const { contiguous, assigned } = lengths.find((at) => at.length === length)!;
      const cells = [(at: Balance) => at.worstLayer, (at: Balance) => at.meanOfLayers, (at: Balance) => at.allLayers, (at: Balance) => at.prefillMeanOfLayers, fullest].map((of) => beside(contiguous, assigned, of));
      return [plan, String(kvHeads), String(ranks), ...cells];
    }),
  );
}
