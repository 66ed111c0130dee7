import { describe, expect, it } from 'vitest';
import { inspectPlan } from '../../src/inspect.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { resolveModelShape } from '../../src/plan/resolveModelShape.ts';
import { checkPlan } from '../../src/search/check/checkPlan.ts';
import { readCertificate } from '../../src/search/check/readCertificate.ts';
import { collect, listPublishedPlans, publishedFor, readRepositoryFile } from './support.ts';

const configs = [
  ['llama-3-8b', { layers: 32, queryHeads: 32, kvHeads: 8, headDim: 128 }, 'bf16', { theta: 283461213, rotaryDim: 128, scaling: { type: 'default' } }],
  ['llama-3.2-1b', { layers: 16, queryHeads: 32, kvHeads: 8, headDim: 64 }, 'bf16', { theta: 500000, rotaryDim: 64, scaling: { type: 'llama3', factor: 32, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalLength: 8192 } }],
  ['retrieval-20m', { layers: 8, queryHeads: 8, kvHeads: 4, headDim: 64 }, 'bf16', { theta: 500000, rotaryDim: 64, scaling: { type: 'default' } }],
  ['vicuna-7b', { layers: 32, queryHeads: 32, kvHeads: 32, headDim: 128 }, 'fp16', { theta: 10000, rotaryDim: 128, scaling: { type: 'linear', factor: 4 } }],
] as const;

const readConfig = (name: string) =>
  collect((diagnostics) => parseModelConfig(readRepositoryFile(`examples/${name}/config.json`), 'config.json', diagnostics));

it.each(configs)('the config of %s', (name, shape, elementType, rope) => {
  const { value, text } = readConfig(name);
  expect(text).toBe('');
  expect(value).toMatchObject({ shape, elementType });
  expect(value!.rope).toEqual({ ropes: [{ pairing: 'halves', ...rope }], layers: Array.from({ length: shape.layers }, () => 0) });
  expect(value!.ropeProblems).toBeUndefined();
});

// What holds for any plan that the search finds for this model and density: nothing here knows its rules.
describe('the plan of retrieval-20m', () => {
  const plan = { text: readRepositoryFile('examples/retrieval-20m/plan.json'), file: 'plan.json' };
  const config = { text: readRepositoryFile('examples/retrieval-20m/config.json'), file: 'config.json' };

  it('says its model, which is that of the config', () => {
    const { value, text } = collect((diagnostics) => [readPlan(plan, undefined, {}, diagnostics), readPlan(plan, config, {}, diagnostics)]);
    expect(text).toBe('');
    const [alone, withConfig] = value;
    expect(alone!.model).toMatchObject({ shape: { layers: 8, queryHeads: 8, kvHeads: 4, headDim: 64 }, elementType: 'bf16' });
    expect(withConfig!.model).toMatchObject({ shape: alone!.model.shape, elementType: 'bf16' });
  });

  it('keeps a quarter at 4096 tokens, in the cache too', () => {
    const { value } = collect((diagnostics) => readPlan(plan, undefined, {}, diagnostics));
    const [at] = inspectPlan(value!.module, [4096]).lengths;
    expect(at!.planDensity).toBeCloseTo(0.25, 2);
    expect(at!.cacheDensity).toBe(at!.planDensity);
  });

  it('is what its certificate says, as far as that can be seen without the profile', () => {
    const { value, text } = collect((diagnostics) => {
      const parsed = parsePlan(plan.text, plan.file, diagnostics)!;
      return checkPlan(parsed, readCertificate(parsed, diagnostics)!);
    });
    expect(text).toBe('');
    expect(value.checks.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(value.checks.filter(({ status }) => status === 'ok').map(({ name }) => name)).toEqual(expect.arrayContaining(['instance', 'candidates', 'granularity', 'density at 4096']));
  });
});

const published = listPublishedPlans();

it.skipIf(published.size === 0).each(publishedFor)('the config of %s fits the published plan (skipped without ../shared/plans)', (name, plan) => {
  const config = readConfig(name).value!;
  const { value, text } = collect((diagnostics) => resolveModelShape(parsePlan(published.get(plan)!, plan, diagnostics)!, config, {}, diagnostics));
  expect(text).toBe('');
  expect(value!.shape).toEqual(config.shape);
});
