/** What was measured, and the latency table (docs/search-formats.md) that it becomes. */

export type LatencyPhase = 'decode' | 'prefill';

export interface MeasuredSpan {
  readonly phase: LatencyPhase;
  /** N. */
  readonly length: number;
  readonly span: number;
  /** One KV head of one layer, of one sequence: `launchUs` over the batch (1 in prefill) times the KV heads. */
  readonly us: number;
  /** A launch for one layer, all heads with this span. Medians and percentiles of replays of CUDA graphs over `measured` layers. */
  readonly launchUs: number;
  readonly p10Us: number;
  readonly p90Us: number;
  readonly measured: number;
  /** Decode: KV pages that a launch reads. */
  readonly bytes?: number;
  readonly tbps?: number;
}

export interface FailedSpan {
  readonly phase: LatencyPhase;
  readonly length: number;
  readonly span: number;
  readonly error: string;
}

export type LatencyRow = MeasuredSpan | FailedSpan;

export const isMeasured = (row: LatencyRow): row is MeasuredSpan => !('error' in row);

export interface LatencyTable {
  readonly format: 'moa-latency';
  readonly version: 1;
  readonly device: string;
  readonly phase: LatencyPhase;
  readonly unit: 'us';
  readonly headDim: number;
  readonly groupSize: number;
  readonly command: string;
  readonly lengths: readonly { readonly length: number; readonly spans: readonly number[]; readonly times: readonly number[] }[];
}

export interface TableFacts {
  readonly device: string;
  readonly shape: { readonly queryHeads: number; readonly kvHeads: number; readonly headDim: number };
  /** How it was measured; what was changed since is added. */
  readonly command: string;
}

/**
 * The table of one phase. A time below that of a shorter span becomes that one: to the search a longer span would be both better and cheaper, which is noise. Spans
 * that failed are left out, and a length with them when it is the dense one that failed. The table's `command` says how much of both was done.
 */
export function latencyTable(rows: readonly LatencyRow[], phase: LatencyPhase, { device, shape, command }: TableFacts): LatencyTable {
  const ofPhase = rows.filter((row) => row.phase === phase);
  const measured = ofPhase.filter(isMeasured);
  const lengths = [...new Set(measured.map(({ length }) => length))].sort((a, b) => a - b).filter((length) => measured.some((row) => row.length === length && row.span === length));
  let raised = 0;
  let most = 0;
  const entries = lengths.map((length) => {
    const own = measured.filter((row) => row.length === length).sort((a, b) => a.span - b.span);
    let highest = 0;
    const times = own.map(({ us }) => {
      if (us < highest) {
        raised += 1;
        most = Math.max(most, highest / us - 1);
      }
      highest = Math.max(highest, us);
      return highest;
    });
    return { length, spans: own.map(({ span }) => span), times };
  });
  const count = entries.reduce((sum, { times }) => sum + times.length, 0);
  const cleaned = raised === 0 ? 'all as measured' : `${raised} of ${count} times raised to that of the next shorter span, by at most ${(100 * most).toFixed(1)} %`;
  const missing = ofPhase.length === count ? '' : `; ${ofPhase.length - count} points are missing`;
  return {
    format: 'moa-latency',
    version: 1,
    device,
    phase,
    unit: 'us',
    headDim: shape.headDim,
    groupSize: shape.queryHeads / shape.kvHeads,
    command: `${command}; ${cleaned}${missing}`,
    lengths: entries,
  };
}
