/** docs/plan.schema.json is what the compiler prints, and judges plans as the validator does, as far as a schema can. */
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { planJsonSchema } from '../../src/plan/planJsonSchema.ts';
import { stableJson } from '../../src/util/stableJson.ts';
import { collect, readRepositoryFile } from './support.ts';

const judge = new Ajv2020({ strict: true, allErrors: true }).compile(planJsonSchema());
const isRead = (plan: unknown): boolean => collect((diagnostics) => parsePlan(JSON.stringify(plan), 'p.json', diagnostics)).value !== undefined;

const model = { layers: 2, queryHeads: 2, kvHeads: 1, headDim: 64 };
const plan = { format: 'moa-plan', version: 1, model, alphas: [[0, -1024], [256, 0]], betas: [[0.5, 1], [0, 0.5]] };
const without = (key: string): unknown => Object.fromEntries(Object.entries(plan).filter(([name]) => name !== key));
const row = (length: number): number[] => Array<number>(length).fill(0);

const good: readonly (readonly [string, unknown])[] = [
  ['what is required', plan],
  ['everything', { ...plan, $schema: './plan.schema.json', sink: 0, page: 64, minSpan: 192, certificate: { a: [1, null] }, evidence: {}, model: { ...model, name: 'org/a-1.5', elementType: 'bf16', softCap: 50, learnedSinks: true, scale: 0.0625 } }],
  ['a cap of none', { ...plan, model: { ...model, softCap: 0, learnedSinks: false } }],
  ['an integer with a point', { ...plan, alphas: [[0.0, 1e3], [-0, 0]] }],
  ['the largest numbers', { ...plan, sink: 1024, minSpan: 2 ** 20, alphas: [[2 ** 24, -(2 ** 24)], [0, 0]] }],
  ['1024 heads', { ...plan, model: { ...model, layers: 1, queryHeads: 1024 }, alphas: [row(1024)], betas: [row(1024)] }],
  ['1024 layers', { ...plan, model: { ...model, layers: 1024, queryHeads: 1 }, alphas: row(1024).map(() => [0]), betas: row(1024).map(() => [0]) }],
];

const bad: readonly (readonly [string, unknown])[] = [
  ['no object', [plan]],
  ['null', null],
  ...['format', 'version', 'model', 'alphas', 'betas'].map((key): [string, unknown] => [`no ${key}`, without(key)]),
  ...(['layers', 'queryHeads', 'kvHeads', 'headDim'] as const).map((key): [string, unknown] => [`no model.${key}`, { ...plan, model: Object.fromEntries(Object.entries(model).filter(([name]) => name !== key)) }]),
  ['another format', { ...plan, format: 'moa' }],
  ['another version', { ...plan, version: 2 }],
  ['an unknown key', { ...plan, sinks: 64 }],
  ['an unknown key of the model', { ...plan, model: { ...model, heads: 2 } }],
  ['a number for $schema', { ...plan, $schema: 1 }],
  ['a sink that is no integer', { ...plan, sink: 0.5 }],
  ['a negative sink', { ...plan, sink: -1 }],
  ['another page', { ...plan, page: 128 }],
  ['a shortest span of no pages', { ...plan, minSpan: 0, sink: 0 }],
  ['a shortest span of half a page', { ...plan, minSpan: 160 }],
  ['too long a shortest span', { ...plan, minSpan: 2 ** 20 + 64 }],
  ['a half alpha', { ...plan, alphas: [[0.5, 0], [0, 0]] }],
  ['too large an alpha', { ...plan, alphas: [[2 ** 24 + 1, 0], [0, 0]] }],
  ['a beta above 1', { ...plan, betas: [[1.5, 0], [0, 0]] }],
  ['a negative beta', { ...plan, betas: [[-0.5, 0], [0, 0]] }],
  ['text for a number', { ...plan, betas: [['0', 0], [0, 0]] }],
  ['a row that is none', { ...plan, alphas: [0, 0] }],
  ['no layers', { ...plan, alphas: [], betas: [] }],
  ['no heads', { ...plan, alphas: [[], []], betas: [[], []] }],
  ['1025 heads', { ...plan, alphas: [row(1025)], betas: [row(1025)] }],
  ['1025 layers', { ...plan, alphas: row(1025).map(() => [0]), betas: row(1025).map(() => [0]) }],
  ['a name with a space', { ...plan, model: { ...model, name: 'a b' } }],
  ['an empty name', { ...plan, model: { ...model, name: '' } }],
  ['a name of 129 letters', { ...plan, model: { ...model, name: 'a'.repeat(129) } }],
  ['another element type', { ...plan, model: { ...model, elementType: 'fp32' } }],
  ['too small a cap', { ...plan, model: { ...model, softCap: 1e-4 } }],
  ['a negative cap', { ...plan, model: { ...model, softCap: -1 } }],
  ['text for a cap', { ...plan, model: { ...model, softCap: '50' } }],
  ['a number for learned sinks', { ...plan, model: { ...model, learnedSinks: 1 } }],
  ['a scale of nothing', { ...plan, model: { ...model, scale: 0 } }],
  ['no KV heads', { ...plan, model: { ...model, kvHeads: 0 } }],
  ['a list for evidence', { ...plan, evidence: [] }],
  ['null for a certificate', { ...plan, certificate: null }],
];

/** What no schema of this kind can say: relations between values. */
const beyond: readonly (readonly [string, unknown])[] = [
  ['rows of different lengths', { ...plan, alphas: [[0, 0], [0]] }],
  ['another number of layers than the model', { ...plan, model: { ...model, layers: 3 } }],
  ['another number of heads than the model', { ...plan, model: { ...model, queryHeads: 4 } }],
  ['a sink as long as the shortest span', { ...plan, sink: 128 }],
  ['257 rules', { ...plan, model: { ...model, layers: 1, queryHeads: 257 }, alphas: [row(257).map((_, n) => n)], betas: [row(257)] }],
];

test('docs/plan.schema.json is current: moa-compile schema > docs/plan.schema.json', () => {
  expect(readRepositoryFile('docs/plan.schema.json').toString()).toBe(stableJson(planJsonSchema()));
});

test('examples are plans by it', () => {
  for (const path of ['examples/retrieval-20m/plan.json', 'test/fixtures/plans/tiny.json']) {
    const example: unknown = JSON.parse(readRepositoryFile(path).toString());
    expect(judge(example), `${path}: ${JSON.stringify(judge.errors)}`).toBe(true);
  }
});

describe('the schema and the validator agree', () => {
  test.each(good)('%s is a plan', (_, value) => {
    expect({ schema: judge(value), validator: isRead(value) }).toEqual({ schema: true, validator: true });
  });
  test.each(bad)('%s is none', (_, value) => {
    expect({ schema: judge(value), validator: isRead(value) }).toEqual({ schema: false, validator: false });
  });
  test.each(beyond)('the validator alone sees %s', (_, value) => {
    expect({ schema: judge(value), validator: isRead(value) }).toEqual({ schema: true, validator: false });
  });
});
