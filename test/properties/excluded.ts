/**
 * What a row does not attend does not matter to it, to the last bit: queries, keys and values of some tokens become NaN, infinite or
 * other numbers, and every row whose mask excludes all of them comes out as before. In prefill, chunks, decode and graphs.
 */
import { masksOf, type Case } from './case.ts';
import { outputsOf, type OutputOptions, type Outputs } from './outputs.ts';
import { attendsPoison, poisoned } from './poison.ts';
import { Random } from './random.ts';
import { chunksOf, makeTokens, type Tokens } from './runCase.ts';
import { shapeOf } from './shapes.ts';
import type { Relation } from './metamorphic.ts';
import type { Target } from './harness.ts';

/** What tokens are changed to: `poisoned` values, or large numbers that are finite. */
export const changes = ['not finite', 'large'] as const;

/** Rows that were compared, over both changes. */
export async function comparedWithout(target: Target, testCase: Case, options: OutputOptions = {}): Promise<number> {
  const tokens = makeTokens({ ...testCase, clean: true });
  const before = await outputsOf(target, testCase, { ...options, tokens });
  let compared = 0;
  for (const change of changes) {
    const changed = tokens.map((layer, n) => layer.map(({ given }, sequence): Tokens => {
      const positions = chosen(testCase, n, sequence, given.length);
      const marked = { ...poisoned(given, positions), poison: positions };
      const inputs = change === 'large' ? { ...marked, q: large(marked.q), k: large(marked.k), v: large(marked.v) } : marked;
      return { given: inputs, attended: inputs };
    }));
    compared += compare(testCase, change, changed, before, await outputsOf(target, testCase, { ...options, tokens: changed }));
  }
  return compared;
}

export const excludedTokensDoNotMatter: Relation = async (target, testCase) => void (await comparedWithout(target, testCase));
export const excludedTokensDoNotMatterInGraphs: Relation = async (target, testCase) => void (await comparedWithout(target, testCase, { capture: true }));

/** One to three tokens behind the first page, which later rows attend until their windows have passed; often the last one, which no other attends. */
function chosen({ seed }: Case, layer: number, sequence: number, length: number): readonly number[] {
  if (length === 0) return [];
  const random = new Random(seed * 7 + 131 * layer + 1013 * sequence + 3);
  const positions = new Set<number>([length - 1]);
  for (let n = random.below(3); n > 0; n -= 1) positions.add(random.below(length));
  return [...positions];
}

/** What is not finite becomes a number that is large in bf16 and in fp16. */
const large = (values: Float32Array): Float32Array => values.map((value) => (Number.isFinite(value) ? value : value < 0 ? -3840 : 3840));

function compare(testCase: Case, change: string, tokens: readonly (readonly Tokens[])[], before: Outputs, after: Outputs): number {
  const { queryHeads, headDim } = shapeOf(testCase.shape);
  const chunks = chunksOf(testCase);
  let compared = 0;
  const check = (layer: number, call: number, sequence: number, row: number, position: number): void => {
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
  };
  before.out.forEach((_, layer) => {
    chunks.forEach((chunk, call) => {
      let row = 0;
      chunk.forEach(([begin, end], sequence) => {
        for (let position = begin; position < end; position += 1) check(layer, call, sequence, row++, position);
      });
    });
    for (let step = 0; step < testCase.decodes; step += 1) {
      testCase.prefill.forEach((count, sequence) => check(layer, chunks.length + step, sequence, sequence, count + step));
    }
  });
  return compared;
}
