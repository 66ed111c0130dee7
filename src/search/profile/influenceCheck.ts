import type { DiagnosticList } from '../../util/diagnostics.ts';
import type { SearchCode } from '../codes.ts';
import { PAGE } from './profile.ts';

/** Checks the influence of one head after the other; reports of each the first value of a kind that is wrong. */
export class InfluenceCheck {
  readonly #file: string;
  readonly #queryHeads: number;
  readonly #diagnostics: DiagnosticList;

  constructor(file: string, queryHeads: number, diagnostics: DiagnosticList) {
    this.#file = file;
    this.#queryHeads = queryHeads;
    this.#diagnostics = diagnostics;
  }

  /**
   * `blocks`: near parts, then far parts, each pages x pages with rows of queries. `head` counts through the layers, and `modelWindow` is that of
   * its layer, in tokens.
   */
  head(blocks: Float32Array, pages: number, tensor: string, head: number, modelWindow: number | null): void {
    let badNumber = -1;
    let early = -1;
    let outside = -1;
    let zero = true;
    for (let at = 0; at < blocks.length; at += 1) {
      const value = blocks[at]!;
      if (value === 0) continue;
      zero = false;
      if (badNumber < 0 && !(value > 0 && value < Infinity)) badNumber = at;
      // In the near part of a block of the diagonal, i - j would be less than 0.
      if (early < 0 && !this.#hasPairs(at, pages)) early = at;
      if (outside < 0 && modelWindow !== null && PAGE * distanceOf(at, pages) >= modelWindow) outside = at;
    }
    if (!zero && badNumber < 0 && early < 0 && outside < 0) return;
    const say = (severity: 'error' | 'warning', code: SearchCode, problem: string): void => {
      const message = `${tensor}: layer ${Math.floor(head / this.#queryHeads)}, query head ${head % this.#queryHeads}: ${problem}`;
      this.#diagnostics.add({ code, severity, message, location: { file: this.#file, line: 1, column: 1 } });
    };
    if (zero) say('warning', 'MOA7110', 'the influence is zero everywhere');
    if (badNumber >= 0) say('error', 'MOA7108', `${blocks[badNumber]} at ${blockOf(badNumber, pages)}`);
    if (early >= 0 && early !== badNumber) say('error', 'MOA7109', `${blocks[early]} at ${blockOf(early, pages)}, where no pair is causal`);
    if (outside >= 0 && outside !== badNumber) say('error', 'MOA7111', `${blocks[outside]} at ${blockOf(outside, pages)}, outside the model's own window of ${modelWindow} tokens`);
  }

  #hasPairs(at: number, pages: number): boolean {
    const far = at >= pages * pages;
    const block = at % (pages * pages);
    const [query, key] = [Math.floor(block / pages), block % pages];
    return far ? key <= query : key < query;
  }
}

/** The least distance of the pairs of a part of a block, in whole pages. */
function distanceOf(at: number, pages: number): number {
  const block = at % (pages * pages);
  return Math.floor(block / pages) - (block % pages) - (at >= pages * pages ? 0 : 1);
}

/** `block (7, 2), near part`: of queries and of keys. */
function blockOf(at: number, pages: number): string {
  const block = at % (pages * pages);
  return `block (${Math.floor(block / pages)}, ${block % pages}), ${at >= pages * pages ? 'far' : 'near'} part`;
}
