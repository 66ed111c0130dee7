import { describe, expect, it } from 'vitest';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { resolveModelShape } from '../../src/plan/resolveModelShape.ts';
import { collect, listPublishedPlans, readRepositoryFile } from './support.ts';

describe('examples', () => {
  it.each([
    ['examples/tiny/plan.json', { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 }],
    ['examples/small-mha/plan.json', { layers: 2, queryHeads: 8, kvHeads: 8, headDim: 128 }],
  ])('%s', (path, shape) => {
    const { value, text } = collect((diagnostics) => {
      const plan = parsePlan(readRepositoryFile(path), path, diagnostics);
      return plan && resolveModelShape(plan, undefined, {}, diagnostics);
    });
    expect(text).toBe('');
    expect(value!.shape).toEqual(shape);
  });

  it('tiny has mixed rules within one KV head in one layer and equal ones in the other', () => {
    const { value } = collect((diagnostics) => parsePlan(readRepositoryFile('examples/tiny/plan.json'), 'plan.json', diagnostics));
    const equalInGroups = value!.rules.map((rules) => rules[0] === rules[1] && rules[2] === rules[3]);
    expect(equalInGroups).toEqual([false, true]);
  });

  const configs = [
    ['llama-3-8b', 'gradientai--Llama-3-8B-Instruct-262k.json', { layers: 32, queryHeads: 32, kvHeads: 8, headDim: 128 }, 'bf16', { theta: 283461213, scaling: 'none' }],
    ['llama-3.2-1b', 'meta-llama--Llama-3.2-1B-Instruct.json', { layers: 16, queryHeads: 32, kvHeads: 8, headDim: 64 }, 'bf16', { theta: 500000, scaling: 'other' }],
    ['vicuna-7b', 'lmsys--vicuna-7b-v1.5-16k.json', { layers: 32, queryHeads: 32, kvHeads: 32, headDim: 128 }, 'fp16', undefined],
  ] as const;

  const readConfig = (name: string) =>
    collect((diagnostics) => parseModelConfig(readRepositoryFile(`examples/${name}/config.json`), 'config.json', diagnostics));

  it.each(configs)('the config of %s', (name, _, shape, elementType, rope) => {
    const { value, text } = readConfig(name);
    expect(text).toBe('');
    expect(value).toMatchObject({ shape, elementType });
    expect(value!.rope).toEqual(rope);
  });

  const published = listPublishedPlans();

  it.skipIf(published.size === 0).each(configs)('the config of %s fits the published plan (skipped without ../shared/plans)', (name, plan, shape) => {
    const { value, text } = collect((diagnostics) => resolveModelShape(parsePlan(published.get(plan)!, plan, diagnostics)!, readConfig(name).value, {}, diagnostics));
    expect(text).toBe('');
    expect(value!.shape).toEqual(shape);
  });
});
