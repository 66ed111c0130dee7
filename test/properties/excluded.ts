/**
 * What a row does not attend does not matter to it, to the last bit: queries, keys and values of some tokens become NaN, infinite or
 * other numbers, and every row whose mask excludes all of them comes out as before. In prefill, chunks, decode and graphs.
 */
import { decodeElements } from '../../src/runtime/elements.ts';
import { masksOf, type Case } from './case.ts';
import { outputsOf, type OutputOptions, type Outputs } from './outputs.ts';
import { attendsPoison, poisoned } from './poison.ts';
import { Random } from './random.ts';
import { chunksOf, makeTokens, type Tokens } from './runCase.ts';
import { shapeOf } from './shapes.ts';
import type { Relation } from './metamorphic.ts';
import type { RuleSpec } from './plans.ts';
import type { Target } from './harness.ts';

/** Rules that the cases are made of: a dense head, and windows that tokens leave. */
export const dense: RuleSpec = [0, 1, 1];
export const short: RuleSpec = [128, 0, 1];
export const middling: RuleSpec = [192, 0, 1];
/** A prompt, a short one beside it, and a few steps. */
export const base: Case = { shape: 'bf16_d64_4x2', rules: [[dense, short, middling, short]], bound: 420, prefill: [260, 28], decodes: 3, lane: 'normal', seed: 5, multiprocessors: 4 };

/** What tokens are changed to: `poisoned` values, in some cases of keys alone, or large numbers that are finite. */
const changesOf = ({ seed }: Case): readonly ('not finite' | 'large' | 'keys not finite')[] => ['not finite', 'large', ...(seed % 2 === 0 ? (['keys not finite'] as const) : [])];

/** Rows that were compared, over all changes of the tokens at `positions` of each sequence; by default some that the case's seed chooses. */
export async function comparedWithout(target: Target, testCase: Case, options: OutputOptions = {}, positions?: readonly number[]): Promise<number> {
  const tokens = makeTokens({ ...testCase, clean: true });
  const before = await outputsOf(target, testCase, { ...options, tokens });
  let compared = 0;
  for (const change of changesOf(testCase)) {
    const changed = tokens.map((layer, n) => layer.map(({ given }, sequence): Tokens => {
      const changing = positions ?? chosen(testCase, n, sequence, given.length);
      const marked = { ...poisoned(given, changing), poison: changing };
      const inputs = {
        'not finite': marked,
        large: { ...marked, q: large(marked.q), k: large(marked.k), v: large(marked.v) },
        // Only rows that attend such a token meet what is not finite, so of one item the outputs of some warps.
        'keys not finite': { ...marked, q: given.q, v: given.v },
      }[change];
      return { given: inputs, attended: inputs };
    }));
    compared += compare(testCase, change, changed, before, await outputsOf(target, testCase, { ...options, tokens: changed }));
  }
  return compared;
}

export const excludedTokensDoNotMatter: Relation = async (target, testCase) => void (await comparedWithout(target, testCase));
export const excludedTokensDoNotMatterInGraphs: Relation = async (target, testCase) => void (await comparedWithout(target, testCase, { capture: true }));

/**
 * One element of a token's value becomes NaN or infinite, in all KV heads. Its column is not finite in the rows that attend the
 * token, unless its probability rounds to 0; some kernels make NaN of the whole row. Other rows come out as before. Returns how many elements
 * are not finite.
 */
export async function spoiledElements(target: Target, testCase: Case, value: number): Promise<number> {
  const { headDim, kvHeads, queryHeads } = shapeOf(testCase.shape);
  const tokens = makeTokens({ ...testCase, clean: true });
  const random = new Random(testCase.seed);
  const columns = tokens.map((layer) => layer.map(() => random.below(headDim)));
  const changed = tokens.map((layer, n) =>
    layer.map(({ given }, sequence): Tokens => {
      if (given.length === 0) return { given, attended: given };
      const token = random.below(given.length);
      const v = given.v.slice();
      for (let head = 0; head < kvHeads; head += 1) v[(token * kvHeads + head) * headDim + columns[n]![sequence]!] = value;
      const inputs = { ...given, v, poison: [token] };
      return { given: inputs, attended: inputs };
    }),
  );
  const [before, after] = [await outputsOf(target, testCase, { tokens }), await outputsOf(target, testCase, { tokens: changed })];
  let spoiled = 0;
  forEachRow(testCase, before, (layer, call, sequence, row, position) => {
    masksOf(testCase, layer).forEach((mask, head) => {
      const attends = attendsPoison(changed[layer]![sequence]!.given, mask, position);
      for (let column = 0; column < headDim; column += 1) {
        const at = (row * queryHeads + head) * headDim + column;
        const [a, b] = [before.out[layer]![call]![at]!, after.out[layer]![call]![at]!];
        const found = decodeElements(shapeOf(testCase.shape).elementType, Uint16Array.of(b))[0]!;
        // What is infinite stays so where nothing is masked.
        const shows = Number.isNaN(value) ? Number.isNaN(found) : !Number.isFinite(found);
        const expected = attends && column === columns[layer]![sequence];
        const where = `layer ${layer}, call ${call}, sequence ${sequence}, head ${head}, position ${position}, column ${column}`;
        // A row that attends it may show it as a whole.
        const isRight = a === b || (expected && shows) || (attends && Number.isNaN(found));
        if (!isRight) throw new Error(`${where}: ${b}, and was ${a}; ${expected ? 'the row attends what is not finite' : 'nothing of it changed'}`);
        if (shows && expected) spoiled += 1;
      }
    });
  });
  return spoiled;
}

type RowVisitor = (layer: number, call: number, sequence: number, row: number, position: number) => void;

/** Calls `visit` for the rows of every call: of chunks, then of decode steps. */
function forEachRow(testCase: Case, { out }: Outputs, visit: RowVisitor): void {
  const chunks = chunksOf(testCase);
  out.forEach((_, layer) => {
    chunks.forEach((chunk, call) => {
      let row = 0;
      chunk.forEach(([begin, end], sequence) => {
        for (let position = begin; position < end; position += 1) visit(layer, call, sequence, row++, position);
      });
    });
    for (let step = 0; step < testCase.decodes; step += 1) {
      testCase.prefill.forEach((count, sequence) => visit(layer, chunks.length + step, sequence, sequence, count + step));
    }
  });
}

/**
 * Up to three tokens that later rows attend until their windows have passed, and the last one, which no other attends. In some cases also the tokens
 * that have just left a head's window at the last step but one: heads of longer windows attend them, on a page that both read.
 */
function chosen(testCase: Case, layer: number, sequence: number, length: number): readonly number[] {
  if (length === 0) return [];
  const random = new Random(testCase.seed * 7 + 131 * layer + 1013 * sequence + 3);
  const positions = new Set<number>([length - 1]);
  if (testCase.seed % 3 === 0) {
    for (const { sink, window } of masksOf(testCase, layer)) if (length - 2 - window >= sink) positions.add(length - 2 - window);
  }
  for (let n = random.below(3); n > 0; n -= 1) positions.add(random.below(length));
  return [...positions];
}

/** What is not finite becomes a number that is large in bf16 and in fp16. */
const large = (values: Float32Array): Float32Array => values.map((value) => (Number.isFinite(value) ? value : value < 0 ? -3840 : 3840));

function compare(testCase: Case, change: string, tokens: readonly (readonly Tokens[])[], before: Outputs, after: Outputs): number {
  const { queryHeads, headDim } = shapeOf(testCase.shape);
  let compared = 0;
  forEachRow(testCase, before, (layer, call, sequence, row, position) => {
    masksOf(testCase, layer).forEach((mask, head) => {
      if (attendsPoison(tokens[layer]![sequence]!.given, mask, position)) return;
      compared += 1;
      const where = `layer ${layer}, call ${call}, sequence ${sequence}, head ${head}, position ${position} attends no token that was changed (${change})`;
      const from = (row * queryHeads + head) * headDim;
      for (let d = 0; d < headDim; d += 1) {
        const [a, b] = [before.out[layer]![call]![from + d]!, after.out[layer]![call]![from + d]!];
        if (a !== b) throw new Error(`${where}: column ${d} is ${b}, and was ${a}`);
      }
      const [a, b] = [before.lse[layer]![call]![row * queryHeads + head]!, after.lse[layer]![call]![row * queryHeads + head]!];
      if (!Object.is(a, b)) throw new Error(`${where}: LSE is ${b}, and was ${a}`);
    });
  });
  return compared;
}
