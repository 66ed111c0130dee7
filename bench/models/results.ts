/** The result of the models benchmark: what run.py writes. */

/** How many sequences: as many as the memory holds of this implementation, or of a dense cache, or one. */
export type Batch = 'most' | 'dense' | 'one';

/** `bare`: a CUDA graph a step. `generate`: of transformers. `batches`: continuous batching. Times are milliseconds, costs of a layer microseconds of the host. */
export interface Row {
  readonly id: string;
  readonly kind: 'bare' | 'generate' | 'batches' | 'first-token' | 'layer-cost';
  readonly model: string;
  /** N. */
  readonly tokens: number;
  readonly implementation: string;
  readonly batch: Batch;
  readonly rows?: number;
  readonly msPerStep?: number;
  readonly tokensPerSecond?: number;
  readonly joulesPerToken?: number;
  readonly energySource?: string;
  readonly peakGiB?: number;
  readonly cacheGiB?: number;
  readonly firstTokenMs?: number;
  readonly attentionMs?: number;
  readonly kernelMs?: number;
  readonly usPerCall?: number;
  readonly usPerLayer?: number;
  readonly wallSeconds?: number;
  /** Why there are no figures: left out, or failed. */
  readonly skipped?: string;
  readonly error?: string;
}

export interface Results {
  readonly device: string;
  readonly torch: string;
  readonly transformers: string;
  readonly settings: { readonly gib: number };
  readonly rows: readonly Row[];
}

/** Names in tables and figures, in their order. */
export const titles: Readonly<Record<string, string>> = {
  ours: 'ours',
  'ours-half': 'ours, density 0.5 by KV head',
  cudnn: 'cuDNN dense',
  static: 'static cache + torch.compile',
  dynamic: 'dynamic cache + sdpa',
  continuous: 'continuous batching',
};

/** Finds rows by `kind/model/tokens/implementation/batch`. */
export class Rows {
  readonly all: readonly Row[];
  readonly #byId: ReadonlyMap<string, Row>;

  constructor(all: readonly Row[]) {
    this.all = all;
    this.#byId = new Map(all.map((row) => [row.id, row]));
  }

  /** A figure of a row; undefined where it was not measured. */
  figure(id: string, name: 'tokensPerSecond' | 'msPerStep' | 'peakGiB' | 'cacheGiB' | 'firstTokenMs' | 'attentionMs' | 'kernelMs' | 'usPerCall' | 'usPerLayer'): number | undefined {
    return this.#byId.get(id)?.[name];
  }

  get(id: string): Row | undefined {
    return this.#byId.get(id);
  }
}

/** `a / b`; undefined where one of them is. */
export const ratio = (a: number | undefined, b: number | undefined): number | undefined => (a === undefined || b === undefined ? undefined : a / b);
