/** RoPE of model configs: against vectors of transformers, what is refused, and which layers have which. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ropeFrequencies } from '../../src/ir/ropeFrequencies.ts';
import type { ModelRope } from '../../src/ir/rope.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import { collect } from './support.ts';

interface Vectors {
  readonly positions: readonly number[];
  readonly cases: readonly {
    readonly name: string;
    readonly config: object;
    readonly lengthBound: number;
    readonly inverseFrequencies: readonly number[];
    readonly attentionFactor: number;
  }[];
}

const { cases } = JSON.parse(readFileSync(new URL('./fixtures/ropeVectors.json', import.meta.url), 'utf8')) as Vectors;

/** What a config says, or the codes and texts of what is wrong with it. */
function read(config: object): { readonly rope: ModelRope | null; readonly problems: readonly string[] } {
  const { value, codes, text } = collect((diagnostics) => parseModelConfig(JSON.stringify(config), 'config.json', diagnostics));
  const deferred = (value?.ropeProblems ?? []).map(({ code, message, path = '' }) => `${code} ${path}: ${message}`);
  return { rope: value?.rope ?? null, problems: [...deferred, ...(codes.length > 0 ? [text] : [])] };
}

/** Distance in units of the last place of binary32. */
function ulps(a: number, b: number): number {
  const bits = new Int32Array(Float32Array.of(a, b).buffer);
  return Math.abs(bits[0]! - bits[1]!);
}

describe('frequencies and attention factor are those of transformers', () => {
  test.each(cases.map((one) => [`${one.name}, ${one.lengthBound} tokens`, one] as const))('%s', (_, { config, lengthBound, inverseFrequencies, attentionFactor }) => {
    const { rope, problems } = read(config);
    expect(problems).toEqual([]);
    expect(rope).toMatchObject({ layers: [0, 0] });
    const made = ropeFrequencies(rope!.ropes[0]!, lengthBound);
    expect(made.inverseFrequencies.length).toBe(inverseFrequencies.length);
    made.inverseFrequencies.forEach((value, pair) => expect(ulps(value, inverseFrequencies[pair]!), `pair ${pair}: ${value}, not ${inverseFrequencies[pair]}`).toBeLessThanOrEqual(1));
    expect(made.attentionFactor).toBeCloseTo(attentionFactor, 12);
  });
});
