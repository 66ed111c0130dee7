/** Buffers as data: a host that evaluates what a package says has memory for what kernels are given. */
import { describe, expect, test } from 'vitest';
import { evaluate, type Expression } from '../../src/ir/affine.ts';
import type { BufferDefinition, BufferSets, PlanDefinition } from '../../src/ir/planDefinition.ts';
import { structs } from '../../src/ir/structs.ts';
import { slotWords } from '../../src/kernels/buffers.ts';
import { decodeRowTiles } from '../../src/kernels/decodeRows.ts';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { variableMeanings, type HostVariables } from '../../src/kernels/variables.ts';
import { BufferSizes } from '../../src/runtime/bufferSizes.ts';
import { fieldOffset, StructArray } from '../../src/runtime/structArray.ts';
import { compileSpec, type PlanSpec } from '../properties/plans.ts';

const two: PlanSpec['rules'][number] = [
  [0, 1, 2],
  [256, 0, 1],
];
const spec: PlanSpec = {
  shape: 'bf16_d64_2x1',
  rules: [two, two],
  rope: true,
  cacheType: 'e4m3',
  decodeTokens: 4,
  learnedSinks: true,
};
const { definition } = compileSpec(spec);
const sets = Object.keys(definition.buffers) as (keyof BufferSets)[];
const named = new Map(sets.flatMap((set) => Object.entries(definition.buffers[set].buffers)));

/** Names of variables in an expression. */
function variablesOf(expression: Expression): string[] {
  if (expression.kind === 'variable') return [expression.name];
  return Object.values(expression).flatMap((part: unknown) =>
    typeof part === 'object' && part !== null && 'kind' in part ? variablesOf(part as Expression) : [],
  );
}

describe('expressions', () => {
  test('use variables that the documents explain, and sizes that come before them', () => {
    const used = new Set<string>();
    for (const set of sets) {
      const known = new Set(Object.keys(variableMeanings));
      const { sizes, buffers } = definition.buffers[set];
      const check = (expression: Expression): void => {
        for (const name of variablesOf(expression)) {
          expect(known, `${set}: ${name}`).toContain(name);
          used.add(name);
        }
      };
      for (const [name, size] of Object.entries(sizes)) {
        check(size);
        known.add(name);
      }
      for (const { shape, initial } of Object.values(buffers)) {
        shape.forEach(check);
        if (initial.kind === 'range') check(initial.first);
      }
    }
    const allSizes = sets.flatMap((set) => Object.keys(definition.buffers[set].sizes));
    const grids = [...definition.kernels, ...Object.values(definition.planners)].map(({ grid }) => grid);
    for (const name of grids.flatMap(variablesOf)) {
      expect([...Object.keys(variableMeanings), ...allSizes]).toContain(name);
      used.add(name);
    }
    expect(
      Object.keys(variableMeanings).filter((name) => !used.has(name)),
      'explained, and nowhere',
    ).toEqual([]);
  });

  test('of tiles of decode are those that kernels are made for', () => {
    for (const shape of ['bf16_d64_2x1', 'bf16_d64_2x2'] as const) {
      const plan = compileSpec({ ...spec, shape }).definition;
      for (let tokens = 1; tokens <= 16; tokens += 1) {
        const sizes = new BufferSizes(plan, 'decode', {
          slots: 3,
          multiprocessors: 7,
          blocksPerSm: 1,
          decodeTokens: tokens,
        });
        const { tiles, rows } = decodeRowTiles(plan.shape, tokens);
        expect([sizes.size('tiles'), sizes.size('tileRows')]).toEqual([tiles, rows]);
        expect(sizes.size('segmentStride')).toBe(7 + 3 * plan.shape.kvHeads * tiles);
      }
    }
  });
});

/** What planners call other than the package its buffers. */
const otherNames: Readonly<Record<string, string>> = { ticket: 'tickets' };

test('every address that a planner takes is that of a buffer of its name, of the same elements', () => {
  for (const [role, { params }] of plannerEntries) {
    for (const { name, of } of params.fields.filter(({ type }) => type === 'pointer')) {
      const buffer =
        role === 'planPrefill' && name === 'scratch'
          ? definition.buffers.prefill.buffers[name]
          : named.get(otherNames[name] ?? name);
      if (name === 'scratch') continue;
      expect(buffer?.element, `${role}: ${name}`).toBe(of);
    }
  }
  const scratch = (['step', 'planPrefill'] as const).map(
    (role) =>
      plannerEntries.find(([each]) => each === role)![1].params.fields.find(({ name }) => name === 'scratch')!.of,
  );
  expect(scratch).toEqual([
    definition.buffers.decode.buffers['scratch']!.element,
    definition.buffers.prefill.buffers['scratch']!.element,
  ]);
});

describe('bytes', () => {
  const plan = { ...definition, shape: { ...definition.shape, queryHeads: 8, kvHeads: 2 } };
  const variables: HostVariables = {
    slots: 5,
    layers: 3,
    classes: 2,
    sinkCount: 1,
    entries: 77,
    pages: 60,
    multiprocessors: 4,
    decodeTokens: 3,
    blocksPerSm: 2,
    partialFloats: 100,
    items: 33,
    parts: 6,
    threads: 384,
    slotPages: 11,
    rotaryPairs: 32,
    ropeBlock: 16,
    ropeBlocks: 20,
  };
  const bytesOf = (set: keyof BufferSets): Readonly<Record<string, number>> => {
    const sizes = new BufferSizes(plan, set, variables);
    return Object.fromEntries(Object.keys(plan.buffers[set].buffers).map((name) => [name, sizes.bytes(name)]));
  };

  test('of a session', () => {
    const { steps, begins, rules, headSpans } = plan.tables;
    expect(bytesOf('session')).toEqual({
      pool: 60 * plan.layout.pageBytes,
      pageTable: 4 * 77,
      lengths: 4 * 3 * 8,
      reserved: 20,
      sharing: 20,
      bounds: 20,
      windows: 4 * 2 * 5 * 8,
      rings: 8 * 2 * 5 * 2,
      ringPlaces: 4 * 2 * 3,
      refs: 240,
      freePages: 240,
      freeCount: 4,
      error: 4,
      pagedLayers: 16 * 3,
      planClasses: 8,
      classSinks: 8,
      sinks: 4,
      spanRules: 12 * rules.length,
      spanSteps: 8 * steps.length,
      spanBegins: 4 * begins.length,
      headSpans: 4 * headSpans.length * 8,
      ringSpans: 4 * headSpans.length * 2,
      spanSinks: 4 * headSpans.length,
      cuSeqlens: 24,
      counts: 20,
      tokenEnds: 4 * 3 * 6,
      rope: 4 * (32 + 2 * 16 * 32 + 2 * 20 * 32),
      kvScales: 4 * 3 * 2 * 2,
      sinkLogits: 4 * 3 * 8,
    });
  });

  test('of a plan of decode: rings of 12 rows of queries, in tiles of 16', () => {
    expect(bytesOf('decode')).toEqual({
      segments: 64 * 2 * (8 + 5 * 2),
      scratch: 4 * 2 * 5 * (slotWords + 2),
      known: 4 * 2 * 11,
      partials: 4 * 100 * 5 * (8 + 2),
      tickets: 4 * (1 + 10),
    });
  });

  test('of prefills', () => {
    const { pageBytes } = plan.layout;
    expect(bytesOf('prefill')).toEqual({
      items: 48 * 2 * 33,
      sizes: 24 * 2,
      scratch: 2 * (Math.ceil((5 * 40 + 10 * 48 + 12 + 33 * 24) / 16) * 16),
      partials: 4 * 6 * 100,
      partTickets: 4 * 3 * 12,
      expandedPool: 5 * 11 * 2 * pageBytes,
      expandedTable: 4 * 5 * 11,
    });
  });

  test('from one class to the next', () => {
    const sizes = new BufferSizes(plan, 'session', variables);
    expect([sizes.stride('windows'), sizes.stride('rings'), sizes.stride('lengths')]).toEqual([
      4 * 5 * 8,
      8 * 5 * 2,
      32,
    ]);
    expect(() => sizes.bytes('window')).toThrow('internal error: the package has the buffer window');
    expect(() => sizes.size('stride')).toThrow('internal error: the package has the size stride');
  });
});

test('a stride of lengths is whole sectors of 32 bytes, so that no layer writes where another reads', () => {
  const { lengthStride } = definition.buffers.session.sizes;
  for (let slots = 0; slots < 40; slots += 1) {
    const words = evaluate(lengthStride!, { slots });
    expect([words % 8, words >= slots, words < slots + 8]).toEqual([0, true, true]);
  }
});

describe('first contents', () => {
  /** What would be allocated: bytes, and what is filled or written. */
  const contentOf = (
    name: string,
    given: HostVariables,
    set: keyof BufferSets = 'session',
    content?: ArrayBufferView,
  ): unknown => {
    const note = (bytes: number): object => ({ bytes, fill: (byte: number) => ({ bytes, byte }) });
    const device = { alloc: note, upload: (data: ArrayBufferView) => data } as unknown as Parameters<
      BufferSizes['make']
    >[0];
    const sizes = new BufferSizes(definition, set, { slots: 2, multiprocessors: 1, ...given });
    return sizes.make(device, name, content);
  };

  test('of bytes, ranges, tables and nothing', () => {
    expect(contentOf('pageTable', { entries: 9 })).toEqual({ bytes: 36, byte: 255 });
    expect(contentOf('refs', { pages: 3 })).toEqual({ bytes: 12, byte: 0 });
    expect(contentOf('kvScales', { layers: 1 })).toEqual(Float32Array.of(1, 1));
    expect(contentOf('expandedTable', { items: 0, slotPages: 2 }, 'prefill')).toEqual(Int32Array.of(0, 1, 2, 3));
    expect(contentOf('spanRules', {})).toEqual(Int32Array.from(definition.tables.rules.flat()));
    expect(contentOf('pool', { pages: 2 })).toMatchObject({ bytes: 2 * definition.layout.pageBytes });
  });

  test('that only the host knows are given, and have the bytes that the package says', () => {
    expect(contentOf('sinks', { sinkCount: 1 }, 'session', Int32Array.of(64))).toEqual(Int32Array.of(64));
    expect(() => contentOf('sinks', { sinkCount: 2 }, 'session', Int32Array.of(64))).toThrow('internal error');
    expect(() => contentOf('sinks', { sinkCount: 2 })).toThrow('internal error: sinks is filled by the host');
  });

  test('are told of every buffer that a kernel may read', () => {
    const kinds = new Map<string, BufferDefinition['initial']['kind']>(
      [...named].map(([name, { initial }]) => [name, initial.kind]),
    );
    const untouched = [...kinds].filter(([, kind]) => kind === 'none').map(([name]) => name);
    expect(untouched.toSorted()).toEqual([
      'counts',
      'cuSeqlens',
      'expandedPool',
      'freeCount',
      'freePages',
      'items',
      'partials',
      'pool',
      'rings',
      'scratch',
      'segments',
      'sizes',
    ]);
  });
});

describe('structs', () => {
  const { structs: printed }: Pick<PlanDefinition, 'structs'> = definition;

  test('a package has every one, as it was declared', () => {
    expect(Object.keys(printed)).toEqual(Object.keys(structs));
    expect(printed.PagedLayer).toMatchObject({
      bytes: 16,
      fields: [
        { name: 'firstEntry', type: 'int64', offset: 0 },
        { name: 'classIndex', offset: 8 },
        { name: 'sink', offset: 12 },
      ],
    });
    expect(fieldOffset(printed.PlannedSegment, 'next')).toBe(48);
    expect(fieldOffset(printed.PrefillPlanSize, 'count')).toBe(8);
    expect(() => fieldOffset(printed.Ring, 'pages')).toThrow('internal error: the struct has the field pages');
  });

  test('operations have the numbers that kernels know them by', () => {
    expect(definition.enums.SequenceOperation).toEqual({ add: 0, remove: 1, fork: 2, truncate: 3, begin: 4 });
    expect(definition.enums.SpanOp).toMatchObject({ constant: 0, bound: 1, span: 2, roundUp: 9 });
  });

  test('are written by field', () => {
    const layers = new StructArray(printed.PagedLayer, 2);
    layers.field('firstEntry')(1, 2 ** 33 + 5);
    layers.field('classIndex')(0, -7);
    layers.field('sink')(1, 64);
    const words = new Int32Array(layers.bytes.buffer);
    expect([...words]).toEqual([0, 0, -7, 0, 5, 2, 0, 64]);
  });
});
