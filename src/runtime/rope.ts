/** What a session is told of rotary position embeddings, checked (RoFormer, arXiv 2104.09864). */
import type { PlanDefinition } from '../ir/planDefinition.ts';
import { ropeFrequencies, type RopeFrequencies } from '../ir/ropeFrequencies.ts';
import { didYouMean } from '../util/didYouMean.ts';
import { checkCosSin, checkFrequencies, isNumbers } from './ropeChecks.ts';
import { buildRopeTable, givenRopeTable, type RopeTable } from './ropeTables.ts';
import type { RuntimeError } from './runtimeError.ts';
import { sessionError } from './sessionChecks.ts';

export type RopeOptions =
  /** As the model does, layer by layer: of a package that was compiled with the model's config. */
  | 'model'
  /** q and k come rotated. */
  | 'none'
  /** Inverse frequencies `theta^(-2i / rotaryDim)`. */
  | { readonly theta: number }
  /**
   * Inverse frequency in radians a token of each of the rotaryDim / 2 pairs. cos and sin are
   * multiplied by the attention factor, 1 by default; where frequencies are not those of a theta it
   * has to be given.
   */
  | { readonly inverseFrequencies: ArrayLike<number>; readonly attentionFactor?: number }
  /**
   * `[positions][rotaryDim / 2][2]`: cos and sin of every pair, beside each other; as many
   * positions as the length bound.
   */
  | { readonly cosSin: Float32Array };

/**
 * The rotations of a session: the tables, and by layer of the plan which of them, or null for a
 * layer that is not rotated.
 */
export interface SessionRope {
  readonly tables: readonly RopeTable[];
  readonly layers: ReadonlyMap<number, number | null>;
}

const fail = (message: string): RuntimeError => sessionError('badOptions', message);

const forms = "'model', 'none', { theta }, { inverseFrequencies, attentionFactor } or { cosSin }";

/**
 * Reads the option `rope`, which is what a caller passed, for the layers of a session. By default
 * that is the model's where the package has it, else `none`.
 */
export function readRopeOption(
  given: unknown,
  definition: PlanDefinition,
  layers: readonly number[],
  lengthBound: number,
): SessionRope {
  const rope = given === undefined ? (definition.ropes === undefined ? 'none' : 'model') : given;
  if (rope === 'none') return { tables: [], layers: new Map(layers.map((layer) => [layer, null])) };
  if (rope === 'model') return modelRope(definition, layers, lengthBound);
  const dims = new Map(layers.map((layer) => [layer, rotaryDimOf(definition, layer)]));
  const ofDim = explicitTables(
    rope,
    [...new Set([...dims.values()].filter((dim) => dim !== null))],
    lengthBound,
  );
  return {
    tables: [...ofDim.values()],
    layers: new Map(
      [...dims].map(([layer, dim]) => [
        layer,
        dim === null ? null : [...ofDim.keys()].indexOf(dim),
      ]),
    ),
  };
}

/** Which of the model's rotations a layer has. */
const ropeOfLayer = ({ layers }: PlanDefinition, layer: number): number | null =>
  layers[layer]!.rope ?? null;

function modelRope(
  definition: PlanDefinition,
  layers: readonly number[],
  lengthBound: number,
): SessionRope {
  const { ropes } = definition;
  if (ropes === undefined) {
    throw fail(
      "rope is 'model', and the package has no RoPE of a model: compile the plan with --model config.json and without --no-rope, or say how to rotate",
    );
  }
  const ofLayer = layers.map((layer) => [layer, ropeOfLayer(definition, layer)] as const);
  const used = [...new Set(ofLayer.flatMap(([, index]) => (index === null ? [] : [index])))];
  return {
    tables: used.map((index) =>
      buildRopeTable(ropeFrequencies(ropes[index]!, lengthBound), lengthBound),
    ),
    layers: new Map(
      ofLayer.map(([layer, index]) => [layer, index === null ? null : used.indexOf(index)]),
    ),
  };
}

/**
 * The elements of a head that the kernels of a layer turn; null where the model has no RoPE in that
 * layer.
 */
function rotaryDimOf(definition: PlanDefinition, layer: number): number | null {
  const { shape, kernels, ropes } = definition;
  if (ropes !== undefined && ropeOfLayer(definition, layer) === null) return null;
  return (
    kernels.find((kernel) => kernel.rope && kernel.layers.includes(layer))?.rotaryDim ??
    shape.headDim
  );
}

/** The tables of what is told, for kernels that turn so many elements of a head. */
function explicitTables(
  rope: unknown,
  dims: readonly number[],
  lengthBound: number,
): ReadonlyMap<number, RopeTable> {
  const { kind, value, attentionFactor } = readForm(rope);
  if (kind !== 'theta' && dims.length > 1) {
    throw fail(
      `rope.${kind} is for one number of elements that turn; the layers of this session turn ${dims.join(' and ')}: make a session for each kind of layer`,
    );
  }
  const ofTable = (make: (dim: number) => RopeTable): ReadonlyMap<number, RopeTable> =>
    new Map(dims.map((dim) => [dim, make(dim)]));
  const ofFrequencies = (make: (dim: number) => RopeFrequencies): ReadonlyMap<number, RopeTable> =>
    ofTable((dim) => buildRopeTable(make(dim), lengthBound));
  switch (kind) {
    case 'theta': {
      const theta = readPositive('theta', value);
      return ofFrequencies((rotaryDim) =>
        ropeFrequencies(
          { theta, rotaryDim, pairing: 'halves', scaling: { type: 'default' } },
          lengthBound,
        ),
      );
    }
    case 'inverseFrequencies': {
      const factor =
        attentionFactor === undefined
          ? undefined
          : readPositive('attentionFactor', attentionFactor);
      if (!isNumbers(value))
        throw fail(
          `rope.inverseFrequencies is ${describe(value)}; it is an array of numbers, or a Float32Array or Float64Array`,
        );
      return ofFrequencies((dim) => checkFrequencies(value, factor, dim));
    }
    case 'cosSin':
      if (!(value instanceof Float32Array))
        throw fail(`rope.cosSin is ${describe(value)}; it is a Float32Array`);
      return ofTable((dim) => givenRopeTable(checkCosSin(value, dim, lengthBound), dim / 2));
  }
}

const kinds = ['theta', 'inverseFrequencies', 'cosSin'] as const;

function readForm(rope: unknown): {
  readonly kind: (typeof kinds)[number];
  readonly value: unknown;
  readonly attentionFactor: unknown;
} {
  if (typeof rope !== 'object' || rope === null || Array.isArray(rope) || ArrayBuffer.isView(rope))
    throw fail(`rope is ${describe(rope)}; it is ${forms}`);
  const known = [...kinds, 'attentionFactor'];
  const keys = Object.keys(rope).filter(
    (key) => (rope as Readonly<Record<string, unknown>>)[key] !== undefined,
  );
  for (const key of keys) {
    if (known.includes(key)) continue;
    const meant = didYouMean(key, known);
    throw fail(
      `rope has an unknown key ${JSON.stringify(key)}${meant === undefined ? '' : `; did you mean "${meant}"?`} It is ${forms}`,
    );
  }
  const given = kinds.filter((key) => keys.includes(key));
  if (given.length !== 1)
    throw fail(
      `rope has ${given.length === 0 ? 'nothing to rotate by' : given.join(' and ')}; it is ${forms}`,
    );
  const kind = given[0]!;
  const { [kind]: value, attentionFactor } = rope as Readonly<Record<string, unknown>>;
  if (attentionFactor !== undefined && kind !== 'inverseFrequencies')
    throw fail(`rope.attentionFactor goes with inverseFrequencies, not with ${kind}`);
  return { kind, value, attentionFactor };
}

/** A number that is positive and finite as the float32 that it becomes. */
function readPositive(key: string, value: unknown): number {
  if (typeof value === 'number' && Math.fround(value) > 0 && Number.isFinite(Math.fround(value)))
    return value;
  throw fail(
    `rope.${key} is ${typeof value === 'number' ? String(value) : describe(value)}; it is a positive number that float32 holds`,
  );
}

/** `a string`, `Float64Array`, `10000`. */
function describe(value: unknown): string {
  if (typeof value === 'number' || value === null) return String(value);
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return typeof value === 'object' ? (value.constructor?.name ?? 'an object') : typeof value;
}
