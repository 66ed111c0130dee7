/** What is attended in one call: how many tokens of how many sequences, and what the cache holds before. */

/** one: a whole prompt. chunked: a part of one, behind tokens that are in the cache. ragged, mixed: many short prompts, of equal or different lengths. */
export type ScenarioName = 'one' | 'chunked' | 'ragged' | 'mixed';

export interface Scenario {
  readonly scenario: ScenarioName;
  /** Of all sequences together. */
  readonly tokens: number;
  /** Tokens of each sequence that are in the cache before. */
  readonly held: number;
  /** N of the session, which says how long windows are. */
  readonly bound: number;
  /** New tokens of each sequence. */
  readonly lengths: readonly number[];
}

export const oneSequence = (tokens: number): Scenario => ({ scenario: 'one', tokens, held: 0, bound: tokens, lengths: [tokens] });

export const chunk = (tokens: number, held: number): Scenario => ({ scenario: 'chunked', tokens, held, bound: held + tokens, lengths: [tokens] });

export const batchOf = (scenario: ScenarioName, bound: number, lengths: readonly number[]): Scenario => ({
  scenario,
  tokens: lengths.reduce((sum, length) => sum + length, 0),
  held: 0,
  bound,
  lengths,
});

const sequences = 64;

/** Beside whole prompts: the last chunk of 16k tokens and the first beyond, and 32k tokens in 64 sequences of at most 1024. */
export const moreScenarios: readonly Scenario[] = [
  chunk(2048, 16384 - 2048),
  chunk(2048, 16384),
  batchOf('ragged', 1024, Array.from({ length: sequences }, () => 512)),
  // 64 to 960 in steps that are no multiple of a tile, shuffled.
  batchOf('mixed', 1024, Array.from({ length: sequences }, (_, n) => 64 + Math.round((((n * 37) % sequences) * 896) / (sequences - 1)))),
];

/** First token of each sequence, and the end of the last. */
export function cuSeqlensOf(lengths: readonly number[]): Int32Array {
  const ends = new Int32Array(lengths.length + 1);
  lengths.forEach((length, sequence) => {
    ends[sequence + 1] = ends[sequence]! + length;
  });
  return ends;
}
