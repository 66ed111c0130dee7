/** Relations between two runs that hold bit for bit. Each is a function of a target and a case, so that a GPU runs them too. */
import { assignRanks, queryHeadsOf } from '../../src/passes/assignRanks.ts';
import type { Case } from './case.ts';
import type { Target } from './harness.ts';
import type { SequenceInputs } from './inputs.ts';
import { expectSameBits, firstDifference, outputsOf, type Outputs } from './outputs.ts';
import { moduleOf, type RuleSpec } from './plans.ts';
import { makeTokens, range, type Tokens } from './runCase.ts';
import { shapeOf } from './shapes.ts';

export type Relation = (target: Target, testCase: Case) => Promise<void>;

const dense: RuleSpec = [0, 1, 1];
const elementsOf = ({ shape }: Case): number => shapeOf(shape).queryHeads * shapeOf(shape).headDim;

/** The order in which threads run and copies land does not matter. */
export const seedsDoNotMatter: Relation = async (target, testCase) => {
  const first = await outputsOf(target, testCase, { device: deviceOf(testCase, 1) });
  for (const seed of [2, 3]) expectSameBits(`seed ${seed}`, first, await outputsOf(target, testCase, { device: deviceOf(testCase, seed) }));
};

/** Neither does where pages lie. */
export const pageOrderDoesNotMatter: Relation = async (target, testCase) => {
  const plain = await outputsOf(target, { ...testCase, shufflePages: false });
  expectSameBits('shuffled pages', plain, await outputsOf(target, { ...testCase, shufflePages: true }));
};

/** A captured step, launched again and again over changing tensors, is the steps one by one. */
export const captureIsEager: Relation = async (target, testCase) => {
  expectSameBits('captured decode', await outputsOf(target, testCase), await outputsOf(target, testCase, { capture: true }));
};

/** A sequence's prefill does not depend on the others of its batch. */
export const prefillIsBatchInvariant: Relation = async (target, testCase) => {
  const row = elementsOf(testCase);
  const tokens = makeTokens(testCase);
  const batch = await outputsOf(target, { ...testCase, decodes: 0 }, { tokens });
  let begin = 0;
  for (const [n, length] of testCase.prefill.entries()) {
    const alone = await outputsOf(target, { ...testCase, prefill: [length], decodes: 0 }, { tokens: tokens.map((layer) => [layer[n]!]) });
    batch.out.forEach((steps, layer) => firstDifference(`sequence ${n} alone, layer ${layer}`, alone.out[layer]![0]!, steps[0]!.subarray(begin * row, (begin + length) * row)));
    begin += length;
  }
};

/** Rules that cover the length bound are the dense rule. */
export const coveringSpansAreDense: Relation = async (target, testCase) => {
  const { bound } = testCase;
  const covering = testCase.rules.map((heads) => heads.map((_, head): RuleSpec => (head % 2 === 0 ? [bound + 64 * head, 0, 1] : [bound, 1, 2])));
  const all = testCase.rules.map((heads) => heads.map(() => dense));
  // Rings of other sizes are split elsewhere: decode is compared where nothing is split.
  const options = { device: { seed: 1, multiprocessors: 1 } };
  expectSameBits('covering spans', await outputsOf(target, { ...testCase, rules: all }, options), await outputsOf(target, { ...testCase, rules: covering }, options));
};

/** Exchanging the KV heads, with their query heads and rules, exchanges outputs. Prefill: decode's splits depend on the order of rings. */
export const headsArePermuted: Relation = async (target, testCase) => {
  const { kvHeads, queryHeads, headDim } = shapeOf(testCase.shape);
  const group = queryHeads / kvHeads;
  const kvOrder = range(0, kvHeads).reverse();
  const queryOrder = kvOrder.flatMap((kvHead) => range(kvHead * group, (kvHead + 1) * group).reverse());
  const tokens = makeTokens(testCase);
  const plain = await outputsOf(target, { ...testCase, decodes: 0 }, { tokens });
  const turned = await outputsOf(
    target,
    { ...testCase, decodes: 0, rules: testCase.rules.map((heads) => queryOrder.map((head) => heads[head]!)) },
    { tokens: mapTokens(tokens, (inputs) => ({ ...inputs, q: gather(inputs.q, queryOrder, queryHeads, headDim), k: gather(inputs.k, kvOrder, kvHeads, headDim), v: gather(inputs.v, kvOrder, kvHeads, headDim) })) },
  );
  plain.out.forEach((steps, layer) => firstDifference(`permuted heads, layer ${layer}`, gather(steps[0]!, queryOrder, queryHeads, headDim), turned.out[layer]![0]!));
};

/** Grouped query attention is attention with repeated KV heads. `repeated` is a shape with as many KV heads as query heads. */
export const groupsAreRepeatedHeads =
  (repeated: string): Relation =>
  async (target, testCase) => {
    const { kvHeads, queryHeads, headDim } = shapeOf(testCase.shape);
    const order = range(0, queryHeads).map((head) => Math.floor(head / (queryHeads / kvHeads)));
    const tokens = makeTokens(testCase);
    const wide = mapTokens(tokens, (inputs) => ({ ...inputs, k: gather(inputs.k, order, kvHeads, headDim), v: gather(inputs.v, order, kvHeads, headDim) }));
    const grouped = await outputsOf(target, { ...testCase, decodes: 0 }, { tokens });
    expectSameBits('repeated KV heads', grouped, await outputsOf(target, { ...testCase, shape: repeated, decodes: 0 }, { tokens: wide }));
  };

/**
 * Ranks that share the heads out compute, head by head, what one device with all heads does: prefill, and decode where nothing is split (rings of a rank alone
 * are cut elsewhere). `part` is the shape of a rank.
 */
export const ranksAreTheWhole =
  (ranks: number, part: string): Relation =>
  async (target, testCase) => {
    const { kvHeads, queryHeads, headDim } = shapeOf(testCase.shape);
    const options = { device: { seed: 1, multiprocessors: 1 } };
    const { groupSize, layers } = assignRanks(moduleOf(testCase), ranks, [testCase.bound]);
    const tokens = makeTokens(testCase);
    const whole = await outputsOf(target, testCase, { tokens, ...options });
    for (const rank of range(0, ranks)) {
      const own = layers.map((layer) => layer.kvHeads[rank]!);
      const queries = own.map((heads) => queryHeadsOf(heads, groupSize));
      const found = await outputsOf(
        target,
        { ...testCase, shape: part, rules: testCase.rules.map((heads, layer) => queries[layer]!.map((head) => heads[head]!)) },
        {
          tokens: mapTokens(tokens, (inputs, layer) => ({
            ...inputs,
            queryHeads: queryHeads / ranks,
            kvHeads: kvHeads / ranks,
            q: gather(inputs.q, queries[layer]!, queryHeads, headDim),
            k: gather(inputs.k, own[layer]!, kvHeads, headDim),
            v: gather(inputs.v, own[layer]!, kvHeads, headDim),
          })),
          ...options,
        },
      );
      const expected: Outputs = {
        out: whole.out.map((steps, layer) => steps.map((bits) => gather(bits, queries[layer]!, queryHeads, headDim))),
        lse: whole.lse.map((steps, layer) => steps.map((sums) => gather(sums, queries[layer]!, queryHeads, 1))),
      };
      expectSameBits(`rank ${rank} of ${ranks}`, expected, found);
    }
  };

/** Runs a case again and again. */
export const repeatsAreEqual =
  (repeats: number): Relation =>
  async (target, testCase) => {
    const tokens = makeTokens(testCase);
    let first: Outputs | undefined;
    for (let n = 0; n < repeats; n += 1) {
      const outputs = await outputsOf(target, testCase, { tokens, device: deviceOf(testCase, n) });
      if (first !== undefined) expectSameBits(`repeat ${n}`, first, outputs);
      first ??= outputs;
    }
  };

const deviceOf = ({ multiprocessors }: Case, seed: number) => ({ seed, ...(multiprocessors === undefined ? {} : { multiprocessors }) });

function mapTokens(tokens: readonly (readonly Tokens[])[], change: (inputs: SequenceInputs, layer: number) => SequenceInputs): Tokens[][] {
  return tokens.map((sequences, layer) =>
    sequences.map(({ given }) => {
      const changed = change(given, layer);
      return { given: changed, attended: changed };
    }),
  );
}

/** Rows of `heads` heads, with head n of the result taken from head `order[n]`. */
function gather<Values extends Float32Array | Uint16Array>(values: Values, order: readonly number[], heads: number, headDim: number): Values {
  const rows = values.length / (heads * headDim);
  const result = new (values.constructor as new (length: number) => Values)(rows * order.length * headDim);
  for (let row = 0; row < rows; row += 1) {
    order.forEach((head, n) => {
      const from = (row * heads + head) * headDim;
      result.set(values.subarray(from, from + headDim), (row * order.length + n) * headDim);
    });
  }
  return result;
}
