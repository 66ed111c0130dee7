/** How commands find the model of a plan, and what they say of it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runMany, scratchFolder, sourcesOnly, type RunResult } from './support.ts';

const folder = scratchFolder();
const at = (...parts: string[]): string => join(folder, ...parts);
const matrix = (layers: number, heads: number, value: number): number[][] => Array.from({ length: layers }, () => Array.from({ length: heads }, () => value));
const plan = (layers: number): object => ({ alphas: matrix(layers, 4, 0), betas: matrix(layers, 4, 0.5) });
const llama = { model_type: 'llama', num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, dtype: 'bfloat16' };
const hybrid = { ...llama, model_type: 'qwen3_next', num_hidden_layers: 8, layer_types: Array.from({ length: 8 }, (_, n) => (n % 4 === 3 ? 'full_attention' : 'linear_attention')) };

function write(path: string, value: unknown): string {
  mkdirSync(join(at(path), '..'), { recursive: true });
  writeFileSync(at(path), JSON.stringify(value));
  return at(path);
}

const results = new Map<string, RunResult>();
const commands: Readonly<Record<string, () => readonly string[]>> = {
  folder: () => ['inspect', write('bare/plan.json', plan(2)), '--model', at('llama')],
  file: () => ['inspect', at('bare/plan.json'), '--model', at('llama/config.json')],
  'folder without a config': () => ['inspect', at('bare/plan.json'), '--model', at('bare')],
  beside: () => ['inspect', write('beside/plan.json', plan(2))],
  'beside, quiet': () => ['inspect', at('beside/plan.json'), '-q'],
  'beside, not wanted': () => ['inspect', at('beside/plan.json'), '--no-model'],
  'something else beside': () => ['inspect', write('else/plan.json', plan(2))],
  'unknown beside': () => ['inspect', write('unknown/plan.json', plan(2))],
  assumed: () => [at('bare/plan.json'), ...sourcesOnly, '-o', at('out/assumed'), '-q'],
  strict: () => [at('bare/plan.json'), ...sourcesOnly, '-o', at('out/strict'), '--strict'],
  'strict and stated': () => [at('bare/plan.json'), ...sourcesOnly, '-o', at('out/stated'), '--strict', '--model', at('llama')],
  'strict inspect': () => ['inspect', at('bare/plan.json'), '--strict'],
  hybrid: () => [at('bare/plan.json'), ...sourcesOnly, '-o', at('out/hybrid'), '--model', at('hybrid')],
  'hybrid with all rows': () => ['inspect', write('bare/all.json', plan(8)), '--model', at('hybrid')],
  'hybrid in detail': () => ['inspect', at('bare/plan.json'), '--model', at('hybrid')],
  'hybrid as JSON': () => ['inspect', at('bare/plan.json'), '--model', at('hybrid'), '--json'],
  'summary as JSON': () => [at('bare/plan.json'), ...sourcesOnly, '-o', at('out/json'), '--model', at('llama'), '--json'],
  unknown: () => ['inspect', at('bare/plan.json'), '--model', at('unknown')],
  'assume plain': () => ['inspect', at('bare/plan.json'), '--model', at('unknown'), '--assume-plain-attention'],
};

beforeAll(() => {
  write('llama/config.json', llama);
  write('hybrid/config.json', hybrid);
  write('beside/config.json', llama);
  write('else/config.json', { sink_size: 64, recent_size: 256 });
  write('unknown/config.json', { ...llama, model_type: 'llama5' });
  const names = Object.keys(commands);
  runMany(names.map((name) => commands[name]!())).forEach((result, index) => results.set(names[index]!, result));
});

const resultOf = (name: string): RunResult => results.get(name)!;
const shapeOf = (name: string): string => resultOf(name).stdout.split('\n')[0]!;

describe('--model', () => {
  test('takes the folder as well as the file', () => {
    expect(resultOf('folder')).toMatchObject({ status: 0, stderr: '' });
    expect(shapeOf('folder')).toContain('2 layers, 4 query heads on 2 KV heads, headDim 64');
    expect(resultOf('file')).toEqual(resultOf('folder'));
    expect(resultOf('folder without a config')).toMatchObject({ status: 2, stderr: expect.stringContaining('bare/config.json:1:1: error MOA1001') });
  });

  test('of a type that is not known is an error, unless it is assumed to be plain', () => {
    expect(resultOf('unknown')).toMatchObject({ status: 2, stderr: expect.stringContaining('error MOA1331: the model type "llama5" is not known') });
    expect(resultOf('assume plain')).toMatchObject({ status: 0, stderr: expect.stringContaining('warning MOA1336') });
    expect(shapeOf('assume plain')).toContain('on 2 KV heads, headDim 64');
  });
});

describe('a config.json beside the plan', () => {
  test('is found, and said', () => {
    expect(resultOf('beside').stderr).toMatch(/beside\/config\.json:1:1: note MOA1337: /);
    expect(shapeOf('beside')).toContain('on 2 KV heads, headDim 64');
    expect(resultOf('beside, quiet')).toMatchObject({ stderr: '', stdout: resultOf('beside').stdout });
  });

  test('is left alone where it is not wanted, or describes no model', () => {
    for (const name of ['beside, not wanted', 'something else beside']) {
      expect(resultOf(name).stderr).toMatch(/^\S+plan\.json:1:\d+: warning MOA1204/);
      expect(shapeOf(name)).toContain('on 4 KV heads, headDim 128');
    }
  });

  test('has to be understood', () => expect(resultOf('unknown beside')).toMatchObject({ status: 2, stderr: expect.stringContaining('MOA1331') }));
});

describe('a shape that nothing says', () => {
  test('is a warning that -q does not hide', () => {
    const { status, stderr } = resultOf('assumed');
    expect(status).toBe(0);
    expect(stderr).toMatch(/warning MOA1204: nothing says the model's shape; assumed: kvHeads 4, as many as query heads; headDim 128/);
  });

  test('is an error with --strict', () => {
    for (const name of ['strict', 'strict inspect']) expect(resultOf(name)).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining('error MOA1204') });
    expect(resultOf('strict and stated')).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('a model with attention in some layers', () => {
  test('is compiled for those, under their own numbers, and the others are named', () => {
    const { status, stderr, stdout } = resultOf('hybrid');
    expect(status).toBe(0);
    expect(stderr).toContain('note MOA1335: 6 of 8 layers have no attention and are left out: 0..2 4..6 (linear_attention)');
    expect(stdout).toContain('model: 2 layers (3 7 of the model), 4 query heads on 2 KV heads, headDim 64');
    expect(resultOf('hybrid in detail').stdout).toContain('Layers of the model without attention, left out: 0..2 4..6 (linear_attention).');
    const figures = JSON.parse(resultOf('hybrid as JSON').stdout) as { groups: { layer: number }[]; leftOut: Record<string, string> };
    expect(figures.groups.map(({ layer }) => layer)).toEqual([3, 7]);
    expect(Object.keys(figures.leftOut).map(Number)).toEqual([0, 1, 2, 4, 5, 6]);
  });

  test('takes a row for each of them', () => {
    expect(resultOf('hybrid with all rows')).toMatchObject({ status: 2, stderr: expect.stringContaining('error MOA1201: the plan has 8 layers, the model config has 2 with attention, 3 7') });
  });
});

test('the summary states the model, element types, cache density and GPUs', () => {
  expect(JSON.parse(resultOf('summary as JSON').stdout)).toMatchObject({
    shape: { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 },
    elementTypes: ['bf16'],
    cacheType: 'element',
    cacheDensity: { length: 16384, density: 0.5 },
    serves: expect.arrayContaining(['8.0']),
  });
});
