import { join } from 'node:path';
import { expect, test } from 'vitest';
import { run, runMany, scratchFile, scratchFolder, sourcesOnly, tinyPlan } from './support.ts';

const tenMistakes = scratchFile('ten.json', `{
  "format": "moa-plan",
  "version": 1,
  "model": {"layers": 2, "queryHeads": 4, "kvHeads": "2", "headDim": 64, "elementType": "fp8"},
  "sink": 640,
  "page": 32,
  "minSpan": 100,
  "alfas": [],
  "alphas": [
    [0.5, 256, "0", 128],
    [256, 256, 0]
  ],
  "betas": [
    [1.0, 1.5, 0.25, 0.5],
    [0.0, -0.25, 0.25, null]
  ]
}
`);
const located = /^(.+):(\d+):(\d+): error (MOA1\d{3}): (.+) \(at (\S+)\)$/;

test('ten mistakes in a plan are ten numbered errors, each with its place, in one run', () => {
  const { status, stdout, stderr } = run([tenMistakes, ...sourcesOnly, '-o', join(scratchFolder(), 'out')]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  const errors = stderr.split('\n').filter((line) => line.includes(' error MOA')).map((line) => located.exec(line) ?? line);
  expect(errors.every((match) => Array.isArray(match) && match[1] === tenMistakes), stderr).toBe(true);
  const places = errors.map((match) => `${match[2]} ${match[6]}`);
  for (const place of ['4 model.kvHeads', '4 model.elementType', '5 sink', '6 page', '7 minSpan', '10 alphas[0][0]', '10 alphas[0][2]', '14 betas[0][1]', '15 betas[1][1]', '15 betas[1][3]']) {
    expect(places).toContain(place);
  }
  expect(errors.length).toBeGreaterThanOrEqual(10);
  expect(stderr.trimEnd().split('\n').at(-1)).toBe(`${errors.length} errors`);
});

test('a bad plan, a bad config, a bad architecture and no nvcc are all said at once', () => {
  const config = scratchFile('config.json', '{"num_attention_heads": "many"}');
  const { status, stderr } = run([tenMistakes, '--model', config, '--arch', 'sm_8o,sm_70', '--nvcc', '/nowhere/nvcc', '-o', join(scratchFolder(), 'out')]);
  expect(status).toBe(2);
  for (const part of [`${tenMistakes}:10:`, `${config}:1:`, 'MOA4010', 'MOA4011', 'MOA4001']) expect(stderr).toContain(part);
});

test('of two files the one that can be read is looked into, and the folder that is missing is said too', () => {
  const config = scratchFile('config.json', '{"num_attention_heads": "many"}');
  const [withoutConfig, withoutPlan] = runMany([[tenMistakes, '--model', '/nowhere/config.json', '--arch', 'sm_80'], ['/nowhere/plan.json', '--model', config, '--arch', 'sm_80']]);
  for (const part of ['/nowhere/config.json:1:1: error MOA1001', `${tenMistakes}:10:`, 'MOA2001']) expect(withoutConfig!.stderr).toContain(part);
  for (const part of ['/nowhere/plan.json:1:1: error MOA1001', `${config}:1:`]) expect(withoutPlan!.stderr).toContain(part);
  expect([withoutConfig!.status, withoutPlan!.status]).toEqual([2, 2]);
});

const mistakes = [
  ['a folder', [scratchFolder()], 'MOA1003'],
  ['no JSON', [scratchFile('p.json', '{"alphas": [')], 'error MOA10'],
  ['an empty file', [scratchFile('p.json', '')], 'error MOA10'],
  ['flags that contradict the plan', [tinyPlan, '--layers', '3'], 'MOA1201'],
  ['a head dimension without kernels', [tinyPlan, '--head-dim', '96'], '96'],
] as const;
const out = join(scratchFolder(), 'out');
const compiled = runMany(mistakes.map(([, args]) => [...args, ...sourcesOnly, '-o', out]));
const inspected = runMany(mistakes.map(([, args]) => ['inspect', ...args]));

test.each(mistakes.map(([name, , message], index) => [name, message, compiled[index]!, inspected[index]!] as const))('%s: 2, without a stack', (_, message, ...results) => {
  for (const { status, stdout, stderr } of results) {
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  }
});

test('no architecture lists the ones there are', () => {
  const [none, chip] = runMany([[tinyPlan, '--emit=ts', '-o', out], [tinyPlan, '--emit=ts', '-o', out, '--arch', 'sm_100a']]);
  expect(none).toMatchObject({ status: 2, stderr: expect.stringMatching(/MOA4015.*\n.*choose from: sm_80, sm_86/) });
  expect(chip).toMatchObject({ status: 2, stderr: expect.stringContaining('MOA4013') });
});

test('without nvcc: 1, with every place looked at and a way out; the way out works', () => {
  const withoutNvcc = [tinyPlan, '--arch', 'sm_80', '--nvcc', '/nowhere/nvcc', '-o', out];
  const [cubins, sources] = runMany([withoutNvcc, [...withoutNvcc, '--emit=cuda,ts']]);
  expect(cubins).toMatchObject({ status: 1, stdout: '' });
  expect(cubins!.stderr).toContain('MOA4001: nvcc was not found; looked at:\n      /nowhere/nvcc (--nvcc)');
  expect(cubins!.stderr).toContain('--emit=cuda');
  expect(sources).toMatchObject({ status: 0, stderr: '' });
});
