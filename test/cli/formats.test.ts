/** Plans in other formats from the command line: folders, detection, options, and what the manifest keeps. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { definitionJsonSchema } from '../../src/emit/definitionJsonSchema.ts';
import { planJsonSchema } from '../../src/plan/planJsonSchema.ts';
import { repositoryPath } from './installed.ts';
import { run, runMany, scratchFolder, sourcesOnly, tinyPlan } from './support.ts';

const root = scratchFolder();
const write = (path: string, content: unknown): string => {
  const file = join(root, path);
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};
const model = write('model/config.json', { model_type: 'mistral', num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, sliding_window: 256 });
const llama = write('llama/config.json', { model_type: 'llama', num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 });
const scores = write('duo/full_attention_heads.tsv', '1\t0.5\n0\t1\n');
const duoConfig = write('duo/config.json', { sink_size: 128, recent_size: 256 });
const loneScores = write('lone/full_attention_heads.tsv', '1\t0.5\n0\t1\n');
const streaming = write('streaming.json', { start_size: 4, recent_size: 512 });
const minference = write('minference.json', [{ 0: ['vertical_and_slash', 1000, 6096, 0.5] }]);
const empty = join(root, 'empty');
mkdirSync(empty);

const [duo, model2] = [join(root, 'duo'), join(root, 'model')];
const inspect = (...args: string[]): string[] => ['inspect', ...args, '--lengths', '1k', '--json'];

const right = [
  ['a folder of DuoAttention', inspect(duo, '--model', model, '--sparsity', '0.5'), { sink: 128, rules: ['256'] }],
  ['its scores', inspect(scores, '--model', llama, '--sparsity', '0.5'), { sink: 128, rules: ['384', 'N'] }],
  ['scores alone, with sizes', inspect(loneScores, '--model', model, '--sparsity', '0', '--sink', '64', '--recent', '128'), { sink: 64, rules: ['256'] }],
  ['a folder of a model', inspect(model2), { sink: 0, rules: ['256'] }],
  ['a config, its format named', inspect(model, '--input-format', 'hf-config'), { sink: 0, rules: ['256'] }],
  ['StreamingLLM', inspect(streaming, '--model', llama, '-q'), { sink: 64, rules: ['576'] }],
  ['our own plan, its format named', inspect(tinyPlan, '--input-format', 'moa-plan'), { sink: 64, rules: ['1/4*N', '256', '-1024 + N', '128 + 1/2*N'] }],
] as const;
const rightResults = runMany(right.map(([, args]) => args));

test.each(right.map(([name, , expected], index) => [name, expected, rightResults[index]!] as const))('%s is inspected', (_, expected, { status, stdout, stderr }) => {
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const figures = JSON.parse(stdout) as { limits: { sink: number }; rules: { rule: string }[] };
  expect({ sink: figures.limits.sink, rules: figures.rules.map(({ rule }) => rule) }).toEqual(expected);
});

const wrong = [
  [inspect(duo, '--model', model), 'MOA1304: scores alone do not say how many heads stream'],
  [inspect(duo, '--sparsity', '0.5'), 'MOA1304: nothing says how many query heads the model has'],
  [inspect(duoConfig), 'MOA1304: this is the config of DuoAttention'],
  [inspect(loneScores, '--model', model, '--sparsity', '0.5'), 'MOA1304: there is no config.json beside the scores'],
  [inspect(streaming), 'MOA1304: nothing says how many layers the model has'],
  [inspect(minference), 'MOA1321: a pattern of MInference'],
  [inspect(empty), 'MOA1003: this is a folder without full_attention_heads.tsv and config.json'],
  [inspect(join(root, 'nowhere')), 'MOA1001: the file does not exist'],
  [inspect(tinyPlan, '--sparsity', '0.5'), 'MOA1306: --sparsity is no option of moa-plan'],
  [inspect(model, '--input-format', 'moa'), 'MOA1102: unknown key "model_type"'],
  [inspect(tinyPlan, '--input-format', 'onnx'), 'Allowed choices are auto, moa, moa-plan, duo-attention, streaming-llm, hf-config'],
  [inspect(duo, '--sparsity', '2'), "'2' is not a number from 0 to 1"],
  [inspect(streaming, '--recent', '0'), "'0' is not an integer from 1 to"],
] as const;
const wrongResults = runMany(wrong.map(([args]) => args));

test.each(wrong.map(([args, message], index) => [args.map((arg) => arg.replace(root, '')).join(' '), message, wrongResults[index]!] as const))('"%s" is bad input: 2, on stderr only', (_, message, result) => {
  expect(result.stderr).toContain(message);
  expect(result).toMatchObject({ status: 2, stdout: '' });
});

test('the manifest keeps the options and the hash of the file beside the scores, and --check sees another sparsity', () => {
  const folder = join(scratchFolder(), 'package');
  const args = (sparsity: string): string[] => [duo, '--model', model, '--sparsity', sparsity, ...sourcesOnly, '-o', folder];
  const [made, current, other] = runMany([args('0.5'), [...args('0.5'), '--check'], [...args('0'), '--check']]);
  expect(made).toMatchObject({ status: 0, stderr: '' });
  const { plan } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { plan: object };
  expect(plan).toMatchObject({ layers: 2, queryHeads: 4, kvHeads: 2, sink: 128, minSpan: 192, options: { sparsity: 0.5 }, configSha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
  expect(current!.status).toBe(0);
  expect(other!.status).toBe(1);
});

test('standard input, and the schemas', () => {
  const piped = run(['inspect', '-', '--lengths', '1k', '--json'], { input: readFileSync(model, 'utf8') });
  expect(piped).toMatchObject({ status: 0, stderr: '' });
  const published = [
    [['schema'], planJsonSchema, 'docs/plan.schema.json'],
    [['schema', 'plan'], planJsonSchema, 'docs/plan.schema.json'],
    [['schema', 'definition'], definitionJsonSchema, 'docs/definition.schema.json'],
  ] as const;
  for (const [args, schemaOf, path] of published) {
    const schema = run([...args]);
    expect(schema).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(schema.stdout)).toEqual(schemaOf());
    expect(schema.stdout).toBe(readFileSync(repositoryPath(path), 'utf8'));
  }
  expect(run(['schema', 'package'])).toMatchObject({ status: 2, stdout: '' });
});
