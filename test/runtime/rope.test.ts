/** What a session takes for the option `rope`, and the tables that it makes. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PlanDefinition } from '../../src/ir/planDefinition.ts';
import type { ModelRope, Rope } from '../../src/ir/rope.ts';
import { ropeFrequencies } from '../../src/ir/ropeFrequencies.ts';
import { Device } from '../../src/runtime/index.ts';
import { readRopeOption } from '../../src/runtime/rope.ts';
import { buildRopeTable, type RopeTable } from '../../src/runtime/ropeTables.ts';
import { promisedAngle } from '../oracle/rope.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';
import { idlePlan, notingPlan, rolesOf } from './fakes/kernels.ts';

const plainRules: PlanSpec['rules'] = Array.from({ length: 3 }, () => [
  [128, 0, 1],
  [128, 0, 1],
]);
const spec: PlanSpec = { shape: 'fp16_d128_2x2', rules: plainRules, rope: true };
const ropeOf = (more: Partial<Rope> = {}): Rope => ({
  theta: 10_000,
  rotaryDim: 128,
  pairing: 'halves',
  scaling: { type: 'default' },
  ...more,
});
const local = ropeOf();
const global = ropeOf({ theta: 1_000_000, scaling: { type: 'linear', factor: 8 } });
const partial: ModelRope = { ropes: [ropeOf({ rotaryDim: 64 })], layers: [0, 0, 0] };
const byLayer: ModelRope = { ropes: [local, global], layers: [0, 1, null] };

const plain = compileSpec(spec).definition;
const definitionOf = (modelRope: ModelRope): PlanDefinition =>
  compileSpec({ ...spec, modelRope }).definition;
const read = (given: unknown, definition = plain, bound = 8) =>
  readRopeOption(given, definition, [0, 1, 2], bound);
const message = (given: unknown, definition = plain, bound = 8): string => {
  try {
    read(given, definition, bound);
  } catch (error) {
    const { code, message: text } = error as { readonly code: string; readonly message: string };
    return `${code}: ${text}`;
  }
  return 'no error';
};

/** cos and sin of a position as kernels add up the rows of a table, without the correction. */
function rowsAt(
  { values, shift }: RopeTable,
  pairs: number,
  position: number,
  pair: number,
): readonly [number, number] {
  const at = (row: number): [number, number] => [
    values[pairs + 2 * (row * pairs + pair)]!,
    values[pairs + 2 * (row * pairs + pair) + 1]!,
  ];
  const [cosF, sinF] = at(position % 2 ** shift);
  const [cosC, sinC] = at(2 ** shift + Math.floor(position / 2 ** shift));
  return [cosC * cosF - sinC * sinF, sinC * cosF + cosC * sinF];
}

/** A table `[positions][rotaryDim / 2][2]`. */
function cosSinOf(positions: number, rotaryDim: number, factor = 1): Float32Array {
  const table = new Float32Array(positions * rotaryDim);
  for (let at = 0; at < table.length / 2; at += 1) {
    const angle =
      Math.floor((2 * at) / rotaryDim) * 10_000 ** ((-2 * (at % (rotaryDim / 2))) / rotaryDim);
    table[2 * at] = factor * Math.cos(angle);
    table[2 * at + 1] = factor * Math.sin(angle);
  }
  return table;
}

describe('the rotation of a session', () => {
  test("is the model's by default where the package has it, else none", () => {
    expect(read(undefined)).toEqual({
      tables: [],
      layers: new Map([
        [0, null],
        [1, null],
        [2, null],
      ]),
    });
    const own = read(undefined, definitionOf(byLayer), 4096);
    expect(own.layers).toEqual(
      new Map([
        [0, 0],
        [1, 1],
        [2, null],
      ]),
    );
    expect(own.tables).toEqual(
      [local, global].map((one) => buildRopeTable(ropeFrequencies(one, 4096), 4096)),
    );
    expect(read('none', definitionOf(byLayer)).tables).toEqual([]);
    expect(read('model', definitionOf(byLayer), 4096)).toEqual(own);
    expect(message('model')).toMatch(/^MOA6106: .*compile the plan with --model/s);
  });

  test('is made for the layers of the session', () => {
    expect(readRopeOption('model', definitionOf(byLayer), [1], 64)).toEqual({
      tables: [buildRopeTable(ropeFrequencies(global, 64), 64)],
      layers: new Map([[1, 0]]),
    });
    expect(readRopeOption('model', definitionOf(byLayer), [2], 64)).toEqual({
      tables: [],
      layers: new Map([[2, null]]),
    });
  });

  test('can be told in each way, for as many elements as kernels turn', () => {
    const frequencies = (dim: number): number[] =>
      Array.from({ length: dim / 2 }, (_, pair) => 10_000 ** ((-2 * pair) / dim));
    for (const [definition, dim] of [
      [plain, 128],
      [definitionOf(partial), 64],
    ] as const) {
      const expected = buildRopeTable(
        { inverseFrequencies: Float32Array.from(frequencies(dim)), attentionFactor: 1 },
        8,
      );
      for (const given of [
        frequencies(dim),
        Float32Array.from(frequencies(dim)),
        Float64Array.from(frequencies(dim)),
      ]) {
        expect(read({ inverseFrequencies: given }, definition).tables).toEqual([expected]);
      }
      expect(read({ theta: 10_000 }, definition).tables).toEqual([
        buildRopeTable(ropeFrequencies(ropeOf({ rotaryDim: dim }), 8), 8),
      ]);
      const table = cosSinOf(8, dim, 1.25);
      const [made] = read({ cosSin: table }, definition).tables;
      expect(made!.shift).toBe(0);
      for (let position = 0; position < 8; position += 1)
        expect(rowsAt(made!, dim / 2, position, 5)).toEqual([
          table[position * dim + 10],
          table[position * dim + 11],
        ]);
    }
    expect(read({ theta: 500 }, definitionOf(byLayer)).layers).toEqual(
      new Map([
        [0, 0],
        [1, 0],
        [2, null],
      ]),
    );
  });
});

describe('layers', () => {
  test('are launched with the kernel and the table of their own rotation', async () => {
    const own = await Device.open('emulator');
    const { plan, launches } = notingPlan(own, definitionOf(byLayer));
    const tensor = own.alloc(1 << 16);
    const tensors = { q: tensor, k: tensor, v: tensor, out: tensor };
    for (const rope of [undefined, { theta: 10_000 }, 'none'] as const) {
      using session = plan.createSession({
        batch: 1,
        lengthBound: 64,
        ...(rope === undefined ? {} : { rope }),
      });
      for (const layer of [0, 1, 2]) session.decode(layer, tensors);
    }
    const ofSession = ['changeSequence', 'changeSequence', 'step', 'decode', 'decode', 'decode'];
    expect(rolesOf(launches)).toEqual([...ofSession, ...ofSession, ...ofSession]);
    const launched = launches
      .filter(({ role }) => role === 'decode')
      .map((launch) => ({ name: launch.name, table: launch.field('rope') }));
    const [model, told, none] = [launched.slice(0, 3), launched.slice(3, 6), launched.slice(6)];
    expect(launched.map(({ name }) => name.includes('_rope'))).toEqual([
      true,
      true,
      false,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    expect(launched.map(({ table }) => table === 0)).toEqual([
      false,
      false,
      true,
      false,
      false,
      true,
      true,
      true,
      true,
    ]);
    expect(model[0]!.table).not.toBe(model[1]!.table);
    expect(told[0]!.table).toBe(told[1]!.table);
    expect(none).toHaveLength(3);
    own.dispose();
  });
});

describe('what no kernel can do, or nobody means, is refused', () => {
  const geometric = Array.from({ length: 64 }, (_, pair) => 10_000 ** (-pair / 64));
  const yarn = ropeFrequencies(
    ropeOf({
      scaling: {
        type: 'yarn',
        factor: 32,
        betaFast: 32,
        betaSlow: 1,
        truncate: true,
        originalLength: 4096,
        attentionFactor: 1.35,
      },
    }),
    8,
  ).inverseFrequencies;
  const halvesTable = Float32Array.from(
    { length: 8 * 128 },
    (_, at) =>
      cosSinOf(8, 128)[Math.floor(at / 128) * 128 + 2 * (at % 64) + (at % 128 < 64 ? 0 : 1)]!,
  );
  const swapped = Float32Array.from({ length: 8 * 128 }, (_, at) => cosSinOf(8, 128)[at ^ 1]!);
  const broken = (at: number, value: number): Float32Array =>
    cosSinOf(8, 128).map((old, index) => (index === at ? value : old));

  test.each<readonly [string, unknown, RegExp]>([
    ['a number', 10_000, /rope is 10000/],
    ['a word', 'yes', /rope is "yes"/],
    ['null', null, /rope is null/],
    ['a boolean', false, /rope is boolean/],
    ['an empty object', {}, /nothing to rotate by/],
    ['an array', [1, 2], /rope is Array/],
    ['a misspelt key', { thetta: 10_000 }, /unknown key "thetta".*did you mean "theta"/s],
    ['a key too many', { theta: 10_000, factor: 4 }, /unknown key "factor"/],
    ['two ways', { theta: 10_000, cosSin: cosSinOf(8, 128) }, /theta and cosSin/],
    ['theta as a string', { theta: '10000' }, /theta is "10000"/],
    ['theta 0', { theta: 0 }, /theta is 0/],
    ['theta NaN', { theta: NaN }, /theta is NaN/],
    ['a theta that float32 does not hold', { theta: 1e39 }, /theta is 1e\+39/],
    ['a theta that is 0 in float32', { theta: 1e-46 }, /theta is 1e-46/],
    [
      'an attention factor beside theta',
      { theta: 10_000, attentionFactor: 1.2 },
      /attentionFactor goes with inverseFrequencies/,
    ],
    [
      'an attention factor of 0',
      { inverseFrequencies: geometric, attentionFactor: 0 },
      /attentionFactor is 0/,
    ],
    [
      'frequencies of half of a head',
      { inverseFrequencies: geometric.slice(0, 32) },
      /32 values; kernels that turn 128 elements of a head need 64.*--model/s,
    ],
    [
      'frequencies of half of a head, and zeros',
      { inverseFrequencies: geometric.map((value, pair) => (pair < 32 ? value : 0)) },
      /\[32\] is 0.*--model/s,
    ],
    [
      'NaN among frequencies',
      { inverseFrequencies: geometric.map((value, pair) => (pair === 3 ? NaN : value)) },
      /inverseFrequencies\[3\] is NaN/,
    ],
    [
      'a frequency that float32 does not hold',
      { inverseFrequencies: geometric.map((value, pair) => (pair === 3 ? 1e39 : value)) },
      /inverseFrequencies\[3\] is 1e\+39/,
    ],
    [
      'a frequency that is 0 in float32',
      { inverseFrequencies: geometric.map((value, pair) => (pair === 3 ? 1e-46 : value)) },
      /inverseFrequencies\[3\] is 1e-46/,
    ],
    [
      'a hole among frequencies',
      { inverseFrequencies: [...geometric.slice(0, 63), undefined] },
      /inverseFrequencies\[63\] is undefined/,
    ],
    [
      'frequencies as a string',
      { inverseFrequencies: '1'.repeat(64) },
      /inverseFrequencies is "1+"/,
    ],
    [
      'frequencies as integers of another kind',
      { inverseFrequencies: new BigInt64Array(64) },
      /inverseFrequencies is BigInt64Array/,
    ],
    [
      "YaRN's frequencies without its factor",
      { inverseFrequencies: yarn },
      /say rope.attentionFactor/,
    ],
    [
      'a table as an array',
      { cosSin: Array.from(cosSinOf(8, 128)) },
      /cosSin is Array; it is a Float32Array/,
    ],
    [
      'a table as a Float64Array',
      { cosSin: Float64Array.from(cosSinOf(8, 128)) },
      /cosSin is Float64Array/,
    ],
    [
      'a table of one position less',
      { cosSin: cosSinOf(7, 128) },
      /896 values; 8 positions.*need 1024/s,
    ],
    ['a table of more positions', { cosSin: cosSinOf(16, 128) }, /2048 values/],
    ['a table of half of a head', { cosSin: cosSinOf(8, 64) }, /512 values/],
    ['a table in halves', { cosSin: halvesTable }, /position 0.*\[positions\]\[64\]\[2\]/s],
    ['a table of sin before cos', { cosSin: swapped }, /begins with 0/],
    ['NaN in a table', { cosSin: broken(700, NaN) }, /cosSin\[700\] and \[701\]/],
    ['Infinity in a table', { cosSin: broken(701, Infinity) }, /cosSin\[700\] and \[701\]/],
    ['a pair that is too long', { cosSin: broken(700, 0.999) }, /cosSin\[700\] and \[701\]/],
  ])('%s', (_, given, expected) => {
    expect(message(given)).toMatch(/^MOA6106: /);
    expect(message(given)).toMatch(expected);
  });

  test('a table of all of a head, for kernels that turn half of it', () => {
    expect(message({ cosSin: cosSinOf(8, 128) }, definitionOf(partial))).toMatch(
      /1024 values; 8 positions.*need 512/s,
    );
    expect(message({ inverseFrequencies: geometric }, definitionOf(partial))).toMatch(
      /64 values; kernels that turn 64 elements of a head need 32/,
    );
  });

  test('one table for layers that turn different parts', () => {
    const definition = definitionOf({
      ropes: [local, ropeOf({ rotaryDim: 64 })],
      layers: [0, 1, 0],
    });
    expect(message({ cosSin: cosSinOf(8, 128) }, definition)).toMatch(
      /layers of this session turn 128 and 64/,
    );
    expect(read({ theta: 10_000 }, definition).tables).toHaveLength(2);
  });
});

describe('tables', () => {
  let device: Device;
  beforeAll(async () => void (device = await Device.open('emulator')));
  afterAll(() => device.dispose());

  test('give cos and sin of each position to float32 rounding', () => {
    const frequencies = ropeFrequencies(ropeOf(), 5000).inverseFrequencies;
    const table = buildRopeTable({ inverseFrequencies: frequencies, attentionFactor: 1 }, 5000);
    for (let position = 0; position < 5000; position += 37) {
      for (let pair = 0; pair < 64; pair += 7) {
        const [cos, sin] = rowsAt(table, 64, position, pair);
        const angle = position * frequencies[pair]!;
        expect(Math.abs(cos - Math.cos(angle)) + Math.abs(sin - Math.sin(angle))).toBeLessThan(
          3e-7,
        );
        const [rounded, roundedSin] = promisedAngle(frequencies[pair]!, 1, position, 5000);
        const float = Math.fround(angle);
        expect(
          Math.abs(rounded - Math.cos(float)) + Math.abs(roundedSin - Math.sin(float)),
        ).toBeLessThan(4e-7);
      }
    }
  });

  test('correct to the angles of float32 as long as these are fine', () => {
    const frequencies = { inverseFrequencies: Float32Array.of(1, 0.5, 0.01), attentionFactor: 1 };
    expect([...buildRopeTable(frequencies, 2 ** 20 - 1).values.subarray(0, 3)]).toEqual([
      1,
      0.5,
      Math.fround(0.01),
    ]);
    expect([...buildRopeTable(frequencies, 2 ** 21).values.subarray(0, 3)]).toEqual([
      0,
      0,
      Math.fround(0.01),
    ]);
  });

  test.each([2 ** 17, 2 ** 20, 2 ** 24])(
    'of %d positions are made in milliseconds',
    (positions) => {
      const frequencies = ropeFrequencies(ropeOf(), positions);
      buildRopeTable(frequencies, 1000);
      const begin = performance.now();
      const { values } = buildRopeTable(frequencies, positions);
      expect(performance.now() - begin).toBeLessThan(200);
      expect(values.length).toBeLessThanOrEqual(64 * (1 + 4 * 4096));
    },
  );

  test.each([2 ** 20, 2 ** 24])(
    'a session of %d tokens begins in less than a second',
    (lengthBound) => {
      using plan = idlePlan(device, plain);
      const begin = performance.now();
      using session = plan.createSession({ batch: 1, lengthBound, rope: { theta: 10_000 } });
      expect(performance.now() - begin).toBeLessThan(1000);
      expect(session.lengthBound).toBe(lengthBound);
    },
  );
});
