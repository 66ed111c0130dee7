import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { PlanFigures } from '../../src/inspect.ts';
import { repositoryPath } from './installed.ts';
import { run, runMany, tinyPlan } from './support.ts';

const published = repositoryPath('../shared/plans');
const missing = !existsSync(published);
if (missing) console.warn('SKIPPED: inspecting the published plans; put the plan files into ../shared/plans to run it');

const plans = [
  { plan: 'gradientai--Llama-3-8B-Instruct-262k.json', config: 'llama-3-8b', shape: '32 layers, 32 query heads on 8 KV heads, headDim 128', planDensity: 0.492, cacheDensity: 0.655, denseGiB: 1 },
  { plan: 'lmsys--vicuna-7b-v1.5-16k.json', config: 'vicuna-7b', shape: '32 layers, 32 query heads on 32 KV heads, headDim 128', planDensity: undefined, cacheDensity: undefined, denseGiB: 4 },
  { plan: 'meta-llama--Llama-3.2-1B-Instruct.json', config: 'llama-3.2-1b', shape: '16 layers, 32 query heads on 8 KV heads, headDim 64', planDensity: undefined, cacheDensity: undefined, denseGiB: 0.25 },
];

describe.skipIf(missing)('the published plans (skipped where they are missing)', () => {
  const commands = missing ? [] : plans.map(({ plan, config }) => ['inspect', `${published}/${plan}`, '--model', repositoryPath(`examples/${config}/config.json`), '--lengths', '8k']);
  const [texts, values] = missing ? [[], []] : [runMany(commands), runMany(commands.map((args) => [...args, '--json']))];

  test.each(plans.map((expected, index) => [expected.config, expected, index] as const))('%s', (_, expected, index) => {
    const figures = JSON.parse(values[index]!.stdout) as PlanFigures;
    const [at] = figures.lengths;
    expect(at).toMatchObject({ length: 8192, denseBytes: expected.denseGiB * 2 ** 30 });
    if (expected.planDensity !== undefined) expect(at!.planDensity).toBeCloseTo(expected.planDensity, 3);
    if (expected.cacheDensity !== undefined) expect(at!.cacheDensity).toBeCloseTo(expected.cacheDensity, 3);
    // A ring keeps what its longest head needs, so the cache is never sparser than the plan, and equal without GQA.
    const gqa = figures.shape.queryHeads !== figures.shape.kvHeads;
    expect(at!.cacheDensity >= at!.planDensity).toBe(true);
    expect(at!.cacheDensity > at!.planDensity).toBe(gqa);
    expect(at!.cacheBytes / at!.denseBytes).toBeCloseTo(at!.cacheDensity, 10);
    expect(figures.rules.reduce((sum, { heads }) => sum + heads, 0)).toBe(figures.shape.layers * figures.shape.queryHeads);

    const { stdout, status } = texts[index]!;
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^${expected.shape}; sink 64, shortest span 128, page 64\n\nrule \\(tokens\\) +query heads +layers +span at 8192\n`));
    const row = stdout.trimEnd().split('\n').at(-1)!;
    expect(row).toMatch(new RegExp(`^8192 +${(at!.planDensity * 100).toFixed(1)} % +${(at!.cacheDensity * 100).toFixed(1)} % `));
  });

  test('Llama-3-8B keeps 49.2 % for its query heads and 65.5 % in the cache at 8192 tokens', () => {
    expect(texts[0]!.stdout).toMatch(/^8192 +49\.2 % +65\.5 % +16\.3 % /m);
  });
});

test('a small plan as a table', () => {
  const { status, stdout, stderr } = run(['inspect', tinyPlan, '--lengths', '1024,4k']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatchInlineSnapshot(`
    "2 layers, 4 query heads on 2 KV heads, headDim 64; sink 64, shortest span 128, page 64

    rule (tokens)  query heads  layers  span at 1024  span at 4096
    1/4*N                    3       2           256          1024
    256                      3       2           256           256
    -1024 + N                1       1           128          3072
    128 + 1/2*N              1       1           640          2176

    layers  head groups  ring groups  rings with age mask
         0            4            2                    2
         1            2            2                    0

    2 of 4 KV heads have query heads of one rule; the others keep the longest and mask the rest by age.
    --arch  shared memory of a block  runs on compute capability
    sm_80                  99.64 KiB  8.0, 8.7
    sm_86                  83.39 KiB  8.6, 8.7, 8.9
    sm_87                  99.64 KiB  8.7
    sm_89                  83.39 KiB  8.9
    sm_90                 103.89 KiB  9.0
    sm_90a                208.75 KiB  9.0
    sm_100                103.89 KiB  10.0, 10.3
    sm_103                103.89 KiB  10.3
    sm_120                 83.39 KiB  12.0, 12.1
    sm_121                 83.39 KiB  12.1

    Plan density averages query heads, cache density KV heads; cache bytes are of one sequence, in whole pages.

       N  plan density  cache density  GQA loss  compute density  cache bytes  dense bytes  cache / dense
    1024        28.1 %         34.4 %     6.3 %           46.5 %   352.00 KiB     1.00 MiB         34.4 %
    4096        27.7 %         39.8 %    12.1 %           42.4 %     1.59 MiB     4.00 MiB         39.8 %
    "
  `);
});

test('as JSON, and what is assumed is said, also when quiet', () => {
  const plan = '{"alphas": [[0, 0]], "betas": [[0.5, 1.0]]}';
  const said = run(['inspect', '-', '--json'], { input: plan });
  const quiet = run(['inspect', '-', '--json', '-q'], { input: plan });
  expect(said.stderr).toMatch(/^<stdin>:1:\d+: warning MOA1204: .*headDim 128/);
  expect(quiet.stderr).toBe(said.stderr);
  expect(quiet.stdout).toBe(said.stdout);
  expect((JSON.parse(said.stdout) as PlanFigures).lengths.map(({ length }) => length)).toEqual([4096, 8192, 16384, 32768]);
});

test('what a model does to its scores, where that is not usual', () => {
  const first = (...options: string[]): string => run(['inspect', tinyPlan, ...options]).stdout.split('\n')[0]!;
  expect(first('--softcap', '50', '--learned-sinks')).toContain('headDim 64, soft cap 50, learned sinks; sink 64');
  expect(first('--softcap', '0', '--no-learned-sinks')).toBe(first());
  expect(run(['inspect', tinyPlan, '--softcap', 'much']).stderr).toContain("'much' is not a number.");
  expect(run(['inspect', tinyPlan, '--softcap', '-5']).stderr).toContain('MOA1106: --softcap -5 is not from 0.001 to 1000, or 0');
  expect(JSON.parse(run(['inspect', tinyPlan, '--json', '--softcap', '30']).stdout)).toMatchObject({ attention: { softCap: 30, learnedSinks: false, scale: 0.125 } });
});

test('a cache in E4M3 has half the bytes', () => {
  const bytesOf = (...options: string[]): number => (JSON.parse(run(['inspect', tinyPlan, '--lengths', '1024', '--json', ...options]).stdout) as PlanFigures).lengths[0]!.cacheBytes;
  expect(bytesOf('--kv-cache-dtype', 'fp8_e4m3')).toBe(bytesOf() / 2);
});
