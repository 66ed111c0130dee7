/** Models whose layers have windows of their own, from the command line: what `inspect` says, and what is refused. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { PlanFigures } from '../../src/inspect.ts';
import { run, scratchFolder, sourcesOnly } from './support.ts';

const root = scratchFolder();
const write = (name: string, content: unknown): string => {
  const file = join(root, name);
  writeFileSync(file, JSON.stringify(content));
  return file;
};
const shape = { num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2, head_dim: 64 };
const mistral = write('mistral.json', { ...shape, model_type: 'mistral', sliding_window: 128 });
const scores = { attn_logit_softcapping: null, query_pre_attn_scalar: 64 };
const gemma = write('gemma.json', { ...shape, ...scores, model_type: 'gemma2', sliding_window: 128 });
const matrices = { alphas: [[384, 320], [384, 320]], betas: [[0, 0], [0, 0]] };
const plan = write('plan.json', matrices);
const made = { format: 'moa-plan', version: 1, ...matrices };
const forGemma = write('gemma-plan.json', { ...made, model: { layers: 2, queryHeads: 2, kvHeads: 2, headDim: 64, windows: [128, null] } });

const figuresOf = (...args: string[]): PlanFigures => {
  const { status, stdout, stderr } = run(['inspect', ...args, '--lengths', '1024', '--json']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout) as PlanFigures;
};

test('spans of 384 and 320 in a Mistral with a window of 128', () => {
  const { modelWindows, rules, lengths, uniformRings } = figuresOf(plan, '--model', mistral);
  expect(modelWindows).toEqual([128, 128]);
  expect(rules).toEqual([{ rule: '128', heads: 4, layers: 2, modelWindow: 128, sink: 0, spans: [128] }]);
  expect(uniformRings).toBe(4);
  // Two pages of 16 KiB a head; the causal triangle of 1024 within a band of 128.
  const pairs = (128 * 129) / 2 + (1024 - 128) * 128;
  expect(lengths).toEqual([
    {
      length: 1024,
      planDensity: 1 / 8,
      cacheDensity: 1 / 8,
      computeDensity: pairs / ((1024 * 1025) / 2),
      headsCutByModel: 4,
      cacheBytes: 4 * 2 * 16384,
      denseBytes: 4 * 16 * 16384,
    },
  ]);
});

test('layers without a window have the plan\'s sink and spans', () => {
  const figures = figuresOf(plan, '--model', gemma);
  expect(figures.modelWindows).toEqual([128, null]);
  expect(figures.rules).toEqual([
    { rule: '128', heads: 2, layers: 1, modelWindow: 128, sink: 0, spans: [128] },
    { rule: '320', heads: 1, layers: 1, modelWindow: null, sink: 64, spans: [320] },
    { rule: '384', heads: 1, layers: 1, modelWindow: null, sink: 64, spans: [384] },
  ]);
  expect(figures.lengths[0]).toMatchObject({ headsCutByModel: 2, planDensity: (128 + 128 + 320 + 384) / 4096 });
  expect(figuresOf(forGemma)).toEqual(figures);
  expect(figuresOf(forGemma, '--model', gemma)).toEqual(figures);
});

test('as a table', () => {
  const { stdout, stderr } = run(['inspect', plan, '--model', gemma, '--lengths', '64,128,129,4k']);
  expect(stderr).toBe('');
  expect(stdout.split('\n').slice(0, 8).join('\n')).toMatchInlineSnapshot(`
    "2 layers, 2 query heads on 2 KV heads, headDim 64; sink 64, shortest span 128, page 64
    The model has windows of its own, and no sink there: 128 tokens in layer 0.
    Of 4 query heads the model's own window is the smaller one for: 0 at 64, 0 at 128, 2 at 129, 2 at 4096.

    rule (tokens)  query heads  layers  model window  sink  span at 64  span at 128  span at 129  span at 4096
              128            2       1  128              0         128          128          128           128
              320            1       1  none            64         128          128          192           320
              384            1       1  none            64         128          128          192           384"
  `);
  const without = run(['inspect', forGemma.replace('gemma-plan', 'plan'), '--query-heads', '2', '--kv-heads', '2', '--head-dim', '64']).stdout;
  expect(without).not.toContain("model's own window");
});

test('a plan made for another model is refused, by inspect and by compile', () => {
  for (const command of [['inspect', forGemma], [forGemma, ...sourcesOnly, '-o', join(root, 'out')]]) {
    const { status, stdout, stderr } = run([...command, '--model', mistral]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('MOA1220: the plan was made for a model with no window in layer 1, the model config has a window of 128 tokens there (at model.windows)');
  }
});

test('the manifest of a package says the windows, where there are any', () => {
  const manifestOf = (...args: string[]): { plan: object } => {
    const folder = join(root, `package-${args.length}`);
    expect(run([plan, ...sourcesOnly, ...args, '-q', '-o', folder])).toMatchObject({ status: 0, stderr: '' });
    return JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { plan: object };
  };
  expect(manifestOf('--model', gemma).plan).toMatchObject({ windows: [128, null] });
  expect(manifestOf('--head-dim', '64', '--kv-heads', '2').plan).not.toHaveProperty('windows');
});

test('ranks share out what the model leaves', () => {
  const wide = write('wide.json', { alphas: [[4096, 4096, 128, 128]], betas: [[0, 0, 0, 0]] });
  const config = { num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 4, head_dim: 64, model_type: 'mistral' };
  const heads = (window: number | null): unknown => {
    const model = write(`wide-${window}.json`, { ...config, sliding_window: window });
    const { stdout } = run(['inspect', wide, '--model', model, '--lengths', '4096', '--tp', '2', '--json']);
    return (JSON.parse(stdout) as { tensorParallel: { lengths: { contiguous: { cacheBytes: number[]; prefillWorstLayer: number } }[] } }).tensorParallel.lengths[0]!.contiguous;
  };
  expect(heads(null)).toMatchObject({ cacheBytes: [128 * 16384, 4 * 16384] });
  expect(heads(128)).toMatchObject({ cacheBytes: [4 * 16384, 4 * 16384], prefillWorstLayer: 1 });
});
