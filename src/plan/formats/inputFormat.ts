/** The formats that a plan may come in, and what only some of them take. docs/input-formats.md describes each. */

export const INPUT_FORMATS = ['moa', 'moa-plan', 'duo-attention', 'streaming-llm', 'hf-config'] as const;
export type InputFormat = (typeof INPUT_FORMATS)[number];

/** What has to be known beyond the file. */
export interface FormatOptions {
  /** The part of all KV heads that stream, 0 to 1. */
  readonly sparsity?: number | undefined;
  /** Tokens at the start that are always attended, before those that the file says. */
  readonly sink?: number | undefined;
  /** Newest tokens that are attended, before those that the file says. */
  readonly recent?: number | undefined;
  /** Take windows that are not whole pages as the next longer ones that are. */
  readonly roundWindows?: boolean | undefined;
}

/** The options of the command line, and the formats that take them. */
export const FORMAT_OPTIONS = {
  sparsity: { flag: '--sparsity', formats: ['duo-attention'] },
  sink: { flag: '--sink', formats: ['duo-attention', 'streaming-llm'] },
  recent: { flag: '--recent', formats: ['duo-attention', 'streaming-llm'] },
  roundWindows: { flag: '--round-windows', formats: ['hf-config'] },
} as const satisfies Record<keyof FormatOptions, { readonly flag: string; readonly formats: readonly InputFormat[] }>;

/** The file of scores in a folder of DuoAttention. */
export const SCORES_FILE = 'full_attention_heads.tsv';
/** The file beside it, and the one that describes a Hugging Face model. */
export const CONFIG_FILE = 'config.json';

export interface SourceText {
  readonly text: Uint8Array | string;
  /** For messages. */
  readonly file: string;
}

export interface PlanInput extends SourceText {
  /** Found out from the text by default. */
  readonly format?: InputFormat | undefined;
  /** The `config.json` in the folder of `full_attention_heads.tsv`. */
  readonly beside?: SourceText | undefined;
  readonly options?: FormatOptions | undefined;
}
