/** docs/definition.schema.json is what the compiler prints, and judges definitions as they are emitted. */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { definitionJsonSchema } from '../../src/emit/definitionJsonSchema.ts';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import { stableJson } from '../../src/util/stableJson.ts';
import { repositoryPath } from '../cli/installed.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';

const judge = new Ajv2020({ strict: true }).compile(definitionJsonSchema());
const problemsOf = (value: unknown): string => (judge(value) ? '' : JSON.stringify(judge.errors, undefined, 1));
/** As in a file: without what is undefined. */
const asRead = (definition: PlanDefinition): unknown => JSON.parse(JSON.stringify(definition));

const two: PlanSpec['rules'][number] = [
  [0, 1, 2],
  [256, 0, 1],
];
const plain: PlanSpec = { shape: 'bf16_d64_2x1', rules: [two, two], rope: false };
const scaling = {
  type: 'yarn',
  factor: 4,
  betaFast: 32,
  betaSlow: 1,
  truncate: true,
  originalLength: 4096,
  attentionFactor: 1.1,
} as const;
const ropes = [
  { theta: 10_000, rotaryDim: 64, pairing: 'halves', scaling: { type: 'default' } },
  { theta: 10_000, rotaryDim: 32, pairing: 'interleaved', scaling },
] as const;
const specs: Readonly<Record<string, PlanSpec>> = {
  plain,
  'for Hopper, with RoPE': { ...plain, family: 'hopper', rope: true },
  'a cache of 8 bits, and several tokens': { ...plain, cacheType: 'e4m3', decodeTokens: 4 },
  'windows of the model, learned sinks and a cap': {
    ...plain,
    modelWindows: [null, 192],
    learnedSinks: true,
    softCap: 30,
  },
  'RoPE of the model': { ...plain, rope: true, modelRope: { ropes, layers: [0, 1] } },
};

test('docs/definition.schema.json is current: moa-compile schema definition > docs/definition.schema.json', () => {
  expect(readFileSync(repositoryPath('docs/definition.schema.json'), 'utf8')).toBe(stableJson(definitionJsonSchema()));
});

describe('definitions are legal', () => {
  test.each(Object.entries(specs))('%s', (_, spec) => {
    expect(problemsOf(asRead(compileSpec(spec).definition))).toBe('');
  });

  test('of a package with machine code, PTX and a part of a model', () => {
    const { architectures } = targetsOf('sm_80', 'sm_90');
    const compiled = compileText(planText({ layers: 2, queryHeads: 4, kvHeads: 2, headDim: 128, mixed: true }), {
      architectures,
    });
    const { definition } = compiled.runtime(
      { sm_80: 'cubin/sm_80.cubin' },
      { path: 'cubin/all.fatbin', architectures: ['sm_80'] },
    );
    const tensorParallel = {
      rank: 1,
      ranks: 2,
      kvHeads: [
        [0, 1],
        [2, 3],
      ],
    };
    expect(problemsOf(asRead({ ...definition, tensorParallel }))).toBe('');
  });

  test('the example', () => {
    expect(problemsOf(JSON.parse(readFileSync(repositoryPath('generated/example/definition.json'), 'utf8')))).toBe('');
  });
});

type Entries = Readonly<Record<string, unknown>>;

/** An object in a definition, and the definition with another one in its place. */
interface Place {
  readonly path: string;
  readonly value: Entries;
  readonly replaced: (other: Entries) => unknown;
}

function* placesOf(
  value: unknown,
  path = '',
  replaced: (other: unknown) => unknown = (other) => other,
): Generator<Place> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield { path, value: value as Entries, replaced };
  for (const [key, inner] of Object.entries(value)) {
    const replacedInner = (other: unknown): unknown =>
      replaced(Array.isArray(value) ? value.with(Number(key), other) : { ...value, [key]: other });
    yield* placesOf(inner, `${path}/${key}`, replacedInner);
  }
}

/** Those that differ in more than names, numbers and how deep they are in an expression. */
function differentPlaces(definition: unknown): readonly Place[] {
  const different = new Map<string, Place>();
  for (const place of placesOf(definition)) {
    const plainPath = place.path
      .replace(/\/\d+/g, '/*')
      .replace(/^\/(params|structs|buffers\/\w+\/(?:sizes|buffers))\/\w+/, '/$1/*')
      .replace(/(\/(left|right|operand))+$/, '/inner');
    const key = `${plainPath} ${Object.keys(place.value).join()} ${String(place.value['kind'])}`;
    if (!different.has(key)) different.set(key, place);
  }
  return [...different.values()];
}

/** What may be absent. */
const optional = /^(attention|ropes|ptx|tensorParallel|layerNumbers|rope|rotaryDim|pairing|tokens|learnedSinks|of)$/;
/** Whose keys are names that the package chooses. */
const isMap = ({ path }: Place): boolean => /^\/(params|cubins|buffers\/\w+\/(sizes|buffers))$/.test(path);

describe('what is not a definition is told', () => {
  const definition = asRead(compileSpec(specs['windows of the model, learned sinks and a cap']!).definition);
  const places = differentPlaces(definition).filter((place) => !isMap(place));

  test('without a key, wherever it is', () => {
    expect(places.length).toBeGreaterThan(60);
    const taken = places.flatMap(({ path, value, replaced }) => {
      const entries = Object.entries(value);
      const needed = Object.keys(value).filter((key) => !optional.test(key));
      return needed
        .filter((missing) => judge(replaced(Object.fromEntries(entries.filter(([key]) => key !== missing)))))
        .map((key) => `${path} without ${key}`);
    });
    expect(taken).toEqual([]);
  });

  test('with a key that it does not know', () => {
    expect(
      places.filter(({ value, replaced }) => judge(replaced({ ...value, another: 'x' }))).map(({ path }) => path),
    ).toEqual([]);
  });

  test.each<[string, (of: Record<string, unknown>) => unknown]>([
    ['another format', () => ({ format: 7 })],
    ['no kernels at all', () => ({ kernels: null })],
    ['an unknown mask', () => ({ mask: 'dense' })],
    ['a path out of the package', ({ cubins }) => ({ cubins: { ...(cubins as object), sm_80: '../a.cubin' } })],
    ['a cache type', ({ layout }) => ({ layout: { ...(layout as object), cacheType: 'e5m2' } })],
  ])('%s', (_, change) => {
    const whole = definition as Record<string, unknown>;
    expect(judge({ ...whole, ...(change(whole) as object) })).toBe(false);
  });
});
