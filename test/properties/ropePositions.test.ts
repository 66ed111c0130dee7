/**
 * What kernels rotate by at positions up to 131,072, against cos and sin of transformers
 * (`test/plan/fixtures/ropeVectors.json`). Sequences of such lengths are not run: their lengths are
 * written to the device, where kernels read them.
 */
import { describe, expect, test, vi } from 'vitest';
import { readElements } from './elements.ts';
import type { ModelRope } from '../../src/ir/rope.ts';
import { ropeFrequencies } from '../../src/ir/ropeFrequencies.ts';
import { parseModelConfig } from '../../src/plan/parseModelConfig.ts';
import type { Device, DeviceBuffer, Plan, Session } from '../../src/runtime/index.ts';
import { encodeElements } from '../../src/runtime/elements.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { elementsOf, partnerOf, type OracleRotation } from '../oracle/rope.ts';
import { elementStep } from '../oracle/rounding.ts';
import type { PlanSpec } from './plans.ts';
import { Random } from './random.ts';
import { target, timeout } from './suite.ts';
import { ropeVectors } from '../plan/ropeVectors.ts';

const { positions, cases } = ropeVectors;
interface Angles {
  readonly name: string;
  readonly config: object;
  readonly lengthBound: number;
  readonly inverseFrequencies: readonly number[];
  readonly positions: readonly number[];
  /** `[positions][pairs]`. */
  readonly cos: readonly number[];
  readonly sin: readonly number[];
}

const ofTransformers = cases.flatMap((one): Angles[] =>
  one.cos === undefined ? [] : [{ ...one, positions, cos: one.cos, sin: one.sin! }],
);

/** Beyond what transformers was asked for: binary32 angles that are off by up to 1/32. */
function ofFarPositions(): Angles {
  const { config, inverseFrequencies } = ofTransformers[0]!;
  const lengthBound = 2 ** 20 - 1;
  const far = Array.from({ length: positions.length }, (_, n) => lengthBound - 1 - 9973 * n);
  const angles = far.flatMap((p) => inverseFrequencies.map((f) => Math.fround(p * Math.fround(f))));
  const [cos, sin] = [angles.map(Math.cos), angles.map(Math.sin)];
  return { name: 'a million', config, lengthBound, inverseFrequencies, positions: far, cos, sin };
}

const withAngles = [...ofTransformers, ofFarPositions()];

const headDim = 128;
const heads = 2;
const shape = 'fp16_d128_2x2';
const rules: PlanSpec['rules'] = [
  [
    [128, 0, 1],
    [128, 0, 1],
  ],
  [
    [128, 0, 1],
    [128, 0, 1],
  ],
];
/** Beside half a step of fp16: what a product of elements up to 1 may be off by. */
const angleLimit = 2e-6;

function modelRopeOf(config: object): ModelRope {
  const read = parseModelConfig(JSON.stringify(config), 'config.json', new DiagnosticList());
  expect(read?.ropeProblems).toBeUndefined();
  return read!.rope!;
}

/** The elements of a row, each with its partner, as cos and sin at position number `at` turn it. */
function turned(
  row: Float32Array,
  { cos, sin }: Angles,
  rope: OracleRotation,
  at: number,
): Float64Array {
  const out = Float64Array.from(row);
  const pairs = rope.rotaryDim / 2;
  for (let pair = 0; pair < pairs; pair += 1) {
    const [i, j] = elementsOf(rope, pair);
    const [c, s] = [cos[at * pairs + pair]!, sin[at * pairs + pair]!];
    out[i] = row[i]! * c - row[j]! * s;
    out[j] = row[j]! * c + row[i]! * s;
  }
  return out;
}

/**
 * Draws the elements of each pair until its first one turns to just below the middle of two numbers
 * of fp16: what is a little too large then becomes another number, which shows errors far below a
 * step of fp16.
 */
function sharpen(
  row: Float32Array,
  { cos, sin }: Angles,
  rotation: OracleRotation,
  at: number,
  element: () => number,
): void {
  const pairs = rotation.rotaryDim / 2;
  for (let pair = 0; pair < pairs; pair += 1) {
    const [i, j] = elementsOf(rotation, pair);
    const [c, s] = [cos[at * pairs + pair]!, sin[at * pairs + pair]!];
    for (let tries = 0; tries < 400; tries += 1) {
      const exact = Math.abs(row[i]! * c - row[j]! * s);
      const step = elementStep('fp16', exact);
      const below = (0.5 - ((exact / step) % 1)) * step;
      if (below > 2 * angleLimit && below < 6 * angleLimit) break;
      row[i] = element();
      row[j] = element();
    }
  }
}

/**
 * Opens a session whose sequences hold as many tokens as `held` says, as far as the device
 * knows, in pages of the second half of its pool; with the pool.
 */
function openAt(
  device: Device,
  plan: Plan,
  lengthBound: number,
  layers: number,
  held: readonly number[],
): { readonly session: Session; readonly pool: DeviceBuffer } {
  const bounds = { batch: held.length, lengthBound };
  const entries = plan.memory(bounds).cache / plan.definition.layout.pageBytes;
  const alloc = vi.spyOn(device, 'alloc');
  const session = plan.createSession({ ...bounds, pages: 2 * entries, poolByte: 0 });
  const buffers = alloc.mock.results.map(({ value }) => value as DeviceBuffer);
  alloc.mockRestore();
  const stride = Math.ceil(held.length / 8) * 8;
  const lengths = buffers.find(({ bytes }) => bytes === stride * layers * 4)!;
  const all = new Int32Array(stride * layers).fill(-1);
  for (let layer = 0; layer < layers; layer += 1) all.set(held, layer * stride);
  lengths.write(all);
  const pageTable = buffers.find(({ bytes }) => bytes === entries * 4)!;
  pageTable.write(Int32Array.from({ length: entries }, (_, entry) => entries + entry));
  return { session, pool: buffers.find(({ bytes }) => bytes === session.memory.cache)! };
}

describe('positions up to 131,072', () => {
  test.each(withAngles.map((one) => [one.name, one] as const))(
    '%s',
    { timeout },
    async (_, vectors) => {
      const device = await target.device({ seed: 1 });
      const modelRope = modelRopeOf(vectors.config);
      const { rotaryDim, pairing } = modelRope.ropes[0]!;
      const { inverseFrequencies: frequencies } = ropeFrequencies(
        modelRope.ropes[0]!,
        vectors.lengthBound,
      );
      const rotation: OracleRotation = {
        rotaryDim,
        interleaved: pairing === 'interleaved',
        frequencies,
        factor: 1,
      };
      /**
       * What a pair's angle differs by where torch rounds a power in another way: one frequency in
       * a hundred is off by its last bit.
       */
      const angleOff = (d: number, at: number): number => {
        const pair = rotation.interleaved ? d >> 1 : d % (rotaryDim / 2);
        return d < rotaryDim
          ? Math.abs(frequencies[pair]! - vectors.inverseFrequencies[pair]!) *
              vectors.positions[at]!
          : 0;
      };
      using plan = await target.load(device, { shape, rules, rope: true, modelRope });
      const tokens = vectors.positions.length;
      const random = new Random(7);
      const element = (): number => Math.fround(Math.round((random.next() * 2 - 1) * 1024) / 1024);
      const drawn = (): Float32Array => {
        const rows = Float32Array.from({ length: tokens * heads * headDim }, element);
        for (let row = 0; row < tokens * heads; row += 1) {
          const own = rows.subarray(row * headDim, (row + 1) * headDim);
          sharpen(own, vectors, rotation, Math.floor(row / heads), element);
        }
        return rows;
      };
      const values = { q: drawn(), k: drawn(), v: drawn() };
      const upload = (of: Float32Array): DeviceBuffer => device.upload(encodeElements('fp16', of));
      const tensors = () => ({
        q: upload(values.q),
        k: upload(values.k),
        v: upload(values.v),
        out: device.alloc(tokens * heads * headDim * 2),
      });
      const compare = (
        found: ArrayLike<number>,
        row: number,
        given: Float32Array,
        what: string,
      ): void => {
        const own = given.subarray(row * headDim, (row + 1) * headDim);
        const at = Math.floor(row / heads);
        turned(own, vectors, rotation, at).forEach((exact, d) => {
          const limit =
            0.5 * elementStep('fp16', exact) +
            (angleLimit + angleOff(d, at)) *
              (Math.abs(own[d]!) + Math.abs(own[partnerOf(rotation, d)]!));
          expect(
            Math.abs(found[d]! - exact),
            `${what} at position ${vectors.positions[at]}, column ${d}: ${found[d]}, not ${exact}`,
          ).toBeLessThanOrEqual(limit);
        });
      };

      // Prefill rotates q and k where they lie.
      const prefilled = tensors();
      {
        using session = openAt(device, plan, vectors.lengthBound, rules.length, vectors.positions).session;
        session.prefill(1, {
          ...prefilled,
          cuSeqlens: Array.from({ length: tokens + 1 }, (_one, n) => n),
        });
      }
      const rotated = {
        q: readElements(prefilled.q, 'fp16'),
        k: readElements(prefilled.k, 'fp16'),
      };
      for (const name of ['q', 'k'] as const) {
        for (let row = 0; row < tokens * heads; row += 1)
          compare(
            rotated[name].subarray(row * headDim, (row + 1) * headDim),
            row,
            values[name],
            `${name} of prefill`,
          );
      }

      // Decode writes the rotated key into its ring: all other rows of the pool are zeros.
      const opened = openAt(device, plan, vectors.lengthBound, rules.length, vectors.positions);
      using session = opened.session;
      session.decode(1, tensors());
      const keys = keysOfPool(opened.pool);
      expect(keys).toHaveLength(tokens * heads);
      for (let row = 0; row < tokens * heads; row += 1) {
        const expected = rotated.k.subarray(row * headDim, (row + 1) * headDim);
        expect(
          keys.some((key) => key.every((value, d) => value === expected[d])),
          `decode and prefill turn the key at position ${vectors.positions[Math.floor(row / heads)]} to the same bits`,
        ).toBe(true);
      }
    },
  );
});

/**
 * The rows of a pool of 16-bit pages that are not zero, of keys: two blocks of 64 columns, 64 rows
 * each, with chunks swizzled.
 */
function keysOfPool(pool: DeviceBuffer): Float32Array[] {
  const elements = readElements(pool, 'fp16');
  const pageElements = 2 * 64 * headDim;
  const found: Float32Array[] = [];
  for (let page = 0; page < elements.length; page += pageElements) {
    for (let row = 0; row < 64; row += 1) {
      const key = Float32Array.from(
        { length: headDim },
        (_, d) =>
          elements[
            page +
              Math.floor(d / 64) * 4096 +
              row * 64 +
              ((((d % 64) >> 3) ^ (row & 7)) << 3) +
              (d & 7)
          ]!,
      );
      if (key.some((value) => value !== 0)) found.push(key);
    }
  }
  return found;
}
