/** Plans in other formats, run: what their readers make of them, against the oracle. Sinks of 0 and of two pages, and windows of one page. */
import { describe, expect, test } from 'vitest';
import type { PlanInput } from '../../src/plan/formats/inputFormat.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { caseArbitrary } from './arbitraries.ts';
import type { Case } from './case.ts';
import type { RuleSpec } from './plans.ts';
import { limitsOf, shapeOf } from './shapes.ts';
import { Suite, timeout } from './suite.ts';

/** The rules of a plan, which is one of `shape`. */
function rulesFor(shape: string, plan: PlanInput, layers: number): Required<Pick<Case, 'rules' | 'modelWindows'>> {
  const { queryHeads, kvHeads, headDim } = shapeOf(shape);
  const { module } = readPlan(plan, undefined, { queryHeads, kvHeads, headDim, layers }, new DiagnosticList())!;
  expect(module).toMatchObject({ shape: { layers, queryHeads, kvHeads, headDim }, limits: limitsOf(shapeOf(shape)) });
  const rules = module.layers.map(({ heads }) =>
    heads.map(({ rule: { alpha, numerator, denominator } }): RuleSpec => [alpha, numerator, denominator]),
  );
  return { rules, modelWindows: module.layers.map(({ modelWindow }) => modelWindow) };
}

const duo: PlanInput = {
  file: 'full_attention_heads.tsv',
  text: '1.0\t-1e-4\n0.25\t0.75\n',
  beside: { file: 'config.json', text: '{"sink_size": 128, "recent_size": 256}' },
  options: { sparsity: 0.5 },
};
const config = (changes: object): PlanInput => ({
  file: 'config.json',
  text: JSON.stringify({ num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, ...changes }),
});

describe('formats', () => {
  const suite = new Suite('formats');

  test('DuoAttention: full heads beside heads with a sink of two pages', { timeout }, async () => {
    const shape = 'bf16_d64_4x2_sink128';
    const { rules } = rulesFor(shape, duo, 2);
    expect(rules).toEqual([[[0, 1, 1], [0, 1, 1], [384, 0, 1], [384, 0, 1]], [[384, 0, 1], [384, 0, 1], [0, 1, 1], [0, 1, 1]]]);
    await suite.check(caseArbitrary({ shapes: [shape], with: { rules }, bound: 900, decodes: 4, tiles: 60 }), 6);
    await suite.check(caseArbitrary({ shapes: [shape], with: { rules }, bound: 900, decodes: 2, tiles: 60, chunks: true, compareWhole: true, lanes: ['normal'] }), 3);
    await suite.run({ shape, rules: [rules[0]!], bound: 700, prefill: [383, 128, 0], decodes: 140, lane: 'uniform', seed: 1 });
  });

  test('a config of Hugging Face: layers with a window of one page and no sink beside full ones', { timeout }, async () => {
    const shape = 'bf16_d64_4x2_sink0';
    const { rules, modelWindows } = rulesFor(shape, config({ model_type: 'gpt_oss', sliding_window: 64 }), 2);
    expect(rules).toEqual([1, 2].map(() => [1, 2, 3, 4].map(() => [0, 1, 1])));
    expect(modelWindows).toEqual([64, null]);
    const facts = { rules, modelWindows } as const;
    await suite.check(caseArbitrary({ shapes: [shape], with: facts, bound: 500, decodes: 4 }), 6);
    await suite.check(caseArbitrary({ shapes: [shape], with: facts, bound: 500, decodes: 2, chunks: true, compareWhole: true, lanes: ['normal'] }), 3);
    // The ring of one page goes round three times.
    for (const family of ['portable', 'hopper'] as const) await suite.run({ shape, family, rules: [rules[0]!], modelWindows: [64], bound: 400, prefill: [0, 63, 64, 65], decodes: 200, lane: 'oneHot', seed: 2 });
  });
});
