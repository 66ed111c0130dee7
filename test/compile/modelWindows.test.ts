/** What a package of a model with windows of its own holds: masks, sinks, rings and kernels by layer. */
import { expect, test } from 'vitest';
import { findArchitecture } from '../../src/arch/registry.ts';
import { compile } from '../../src/compile.ts';
import { evaluate } from '../../src/ir/affine.ts';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import { assignRanks } from '../../src/passes/assignRanks.ts';
import { selectRank } from '../../src/passes/selectRank.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { layoutSession, windowsOfHeads } from '../../src/runtime/sessionLayout.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';

const shape = { num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 64, torch_dtype: 'bfloat16' };
const spans = { alphas: [[384, 320], [384, 320]], betas: [[0, 0], [0, 0]] };

function compiled(plan: object, config: object | undefined, options = {}) {
  const diagnostics = new DiagnosticList();
  const given = config && { file: 'config.json', text: JSON.stringify({ ...shape, ...config }) };
  const result = compile(
    { file: 'plan.json', text: JSON.stringify(plan) },
    given,
    { architectures: [findArchitecture('sm_80')!, findArchitecture('sm_90a')!], ...options },
    diagnostics,
  );
  expect(diagnostics.toArray().filter(({ severity }) => severity !== 'note')).toEqual([]);
  return { definition: result!.runtime({}).definition, sources: result!.sources };
}

/** By layer: the model's window, the sink, and of each ring tokens and pages at N. */
const ringsOf = ({ layers, expressions }: PlanDefinition, N: number): unknown =>
  layers.map(({ modelWindow, sink, rings }) => ({
    modelWindow,
    sink,
    rings: rings.map(({ span, pages }) => [evaluate(expressions[span]!, { N }), evaluate(expressions[pages]!, { N })]),
  }));

/** `[layer][head]` windows of a session's sequences, as kernels get them. */
const windowsOf = (definition: PlanDefinition, lengthBound: number): number[][] =>
  layoutSession(definition, { batch: 1, lengthBound }).layers.map(({ layerClass }) => [...windowsOfHeads(layerClass, lengthBound)]);

test('Mistral with a window of 128, spans of 384 and 320: every layer has 128 tokens and no sink', () => {
  const { definition } = compiled(spans, { model_type: 'mistral', sliding_window: 128 });
  const layer = { modelWindow: 128, sink: 0, rings: [[128, 2]] };
  expect(ringsOf(definition, 1024)).toEqual([layer, layer]);
  expect(windowsOf(definition, 1024)).toEqual([[128, 128], [128, 128]]);
  expect(definition.kernels.map(({ name }) => name).filter((name) => !name.includes('_sink0'))).toEqual([]);
});

test('Gemma 2: kernels with and without a sink, each for its layers', () => {
  const { definition, sources } = compiled(spans, { model_type: 'gemma2', sliding_window: 128 });
  expect(ringsOf(definition, 1024)).toEqual([
    { modelWindow: 128, sink: 0, rings: [[128, 2]] },
    { modelWindow: null, sink: 64, rings: [[384, 6], [320, 5]] },
  ]);
  expect(windowsOf(definition, 1024)).toEqual([[128, 128], [320, 256]]);
  for (const { name, role, layers, source } of definition.kernels) {
    expect({ name, layers }).toEqual({ name, layers: name.includes('_sink0') ? [0] : [1] });
    const text = sources.get(source)!;
    if (role === 'prefill') expect(text.includes('the first 64 tokens and the last')).toBe(name.includes('_sink64'));
  }
  const roles = (layer: number): Set<string> => new Set(definition.kernels.filter(({ layers }) => layers.includes(layer)).map(({ role }) => role));
  expect(roles(0)).toEqual(roles(1));
});

test('DuoAttention of a model with a window of 128 keeps 128 slots of 16,384 tokens', () => {
  const { definition } = compiled(spans, { model_type: 'mistral', sliding_window: 128 });
  const diagnostics = new DiagnosticList();
  const plan = {
    file: 'full_attention_heads.tsv',
    text: '1\t0\n0\t1\n',
    beside: { file: 'config.json', text: '{"sink_size": 64, "recent_size": 256}' },
    options: { sparsity: 0.5 },
  };
  const config = { file: 'config.json', text: JSON.stringify({ ...shape, model_type: 'mistral', sliding_window: 128 }) };
  const duo = compile(plan, config, { architectures: [findArchitecture('sm_80')!] }, diagnostics)!;
  expect(diagnostics.toArray()).toEqual([]);
  expect(ringsOf(duo.runtime({}).definition, 16384)).toEqual(ringsOf(definition, 16384));
});

test('a config as a plan is dense within the windows of its layers', () => {
  const config = { ...shape, model_type: 'gpt_oss', sliding_window: 128, layer_types: ['sliding_attention', 'full_attention'] };
  const { definition } = compiled(config, undefined);
  expect(ringsOf(definition, 4096)).toEqual([
    { modelWindow: 128, sink: 0, rings: [[128, 2]] },
    { modelWindow: null, sink: 0, rings: [[4096, 64]] },
  ]);
});

test('a rank has the windows of the model\'s layers', () => {
  const diagnostics = new DiagnosticList();
  const plan = { file: 'plan.json', text: JSON.stringify(spans) };
  const config = { file: 'config.json', text: JSON.stringify({ ...shape, model_type: 'gemma2', sliding_window: 128 }) };
  const { module } = readPlan(plan, config, {}, diagnostics)!;
  const assignment = assignRanks(module, 2);
  for (const rank of [0, 1]) {
    const part = selectRank(module, assignment, rank);
    expect(part.shape.queryHeads).toBe(1);
    expect(part.layers.map(({ modelWindow }) => modelWindow)).toEqual([128, null]);
  }
});

test('slack and short sequences: a ring has no more than there is', () => {
  const options = { slack: 64, decodeTokens: 16 };
  const { definition } = compiled({ alphas: [[0, 0], [0, 0]], betas: [[1, 1], [1, 1]] }, { model_type: 'gemma2', sliding_window: 192 }, options);
  const ring = (N: number): unknown => (ringsOf(definition, N) as { rings: unknown }[])[0]!.rings;
  expect([100, 192, 200, 256, 4096].map(ring)).toEqual([[[128, 2]], [[192, 3]], [[256, 4]], [[256, 4]], [[256, 4]]]);
  expect([100, 200, 4096].map((N) => windowsOf(definition, N)[0])).toEqual([[128, 128], [192, 192], [192, 192]]);
});
