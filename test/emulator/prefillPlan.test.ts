/** The list of prefill's items that a kernel makes is that of the specification, word for word. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
import { randomOf } from '../random.ts';
import * as spec from '../spec/prefillPlan.ts';
import { scratchFolder } from '../toolchain/helpers.ts';
import { bytesOf, Kernel, Status, unwritten, type Param } from './harness.ts';

type Cut = spec.PrefillCut;
type Batch = spec.PrefillBatch;
type List = spec.PrefillList;
const words = spec.prefillItemWords;

const root = fileURLToPath(new URL('../../', import.meta.url));
const kernelOf = (threads: number): Kernel =>
  new Kernel('prefillPlan', ['-Wno-unknown-pragmas', `-DPLAN_THREADS=${threads}`]);
const kernels = new Map([1024, 96].map((threads) => [threads, kernelOf(threads)]));

/** `PrefillPlanScratch::bytes` */
const scratchBytes = (slots: number, kvHeads: number, items: number): number =>
  Math.ceil((slots * 40 + slots * kvHeads * 48 + 12 + items * 24) / 16) * 16;
const sharedBytes = 48 * 1024;

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const integers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

interface Case {
  readonly cut: Cut;
  readonly batch: Batch;
}

interface Run {
  readonly list: List;
  readonly overflow: number;
}

const specOf = ({ cut, batch }: Case): List => spec.prefillPlan(cut, sinkWindow(cut.sink), batch);

/** What the kernel makes of a batch, in space for `capacity` items; several times, in other orders of threads. */
function planned({ cut, batch }: Case, capacity: number, threads = 1024, seeds: readonly number[] = [1]): Run[] {
  const slots = batch.cuSeqlens.length - 1;
  const queryHeads = slots === 0 ? batch.kvHeads : batch.windows.length / slots;
  const inputs = [batch.cuSeqlens, batch.cached, batch.windows, batch.rings];
  const outputs = [capacity * words * 4, 24, scratchBytes(slots, batch.kvHeads, capacity)];
  const { numerator, denominator } = cut.splitShare;
  const shape = [slots, queryHeads, batch.kvHeads, cut.fewest, cut.sink, cut.rows, cut.blocks, spec.sectionTokens(cut)];
  const splits = [Math.min(cut.splitPages, 2 ** 31 - 1), numerator, denominator];
  const numbers = [...shape, ...splits, Number(cut.byCost), capacity];
  const results = kernels.get(threads)!.launches(
    {
      buffers: [...inputs.map((values) => bytesOf(Int32Array.from(values))), ...outputs.map(unwritten)],
      params: [...integers(7).map((buffer): Param => ({ buffer })), ...numbers.map((i32): Param => ({ i32 }))],
      threads,
      sharedBytes,
    },
    seeds,
  );
  return results.map(({ status, findings, buffers }) => {
    expect({ status, findings }).toEqual({ status: Status.ok, findings: [] });
    const [items, size] = [buffers[4]!, buffers[5]!];
    const [count, parts, overflow] = [size.readInt32LE(8), size.readInt32LE(12), size.readInt32LE(16)];
    const list = Int32Array.from({ length: count * words }, (_, index) => items.readInt32LE(index * 4));
    // Nothing is written behind the list.
    expect(items.subarray(count * words * 4).every((byte) => byte === 0xff)).toBe(true);
    return { list: { words: list, count, parts, pages: Number(size.readBigInt64LE(0)) }, overflow };
  });
}

const itemsOf = (list: List): number[][] =>
  Array.from({ length: list.count }, (_, index) => [...list.words.subarray(index * words, (index + 1) * words)]);

/** The kernel's list is that of the specification, whatever the order of threads. */
function expectSame(one: Case, threads?: number): List {
  const expected = specOf(one);
  for (const { list, overflow } of planned(one, expected.count + 3, threads, [1, 2])) {
    const sizes = { count: list.count, parts: list.parts, pages: list.pages, overflow };
    expect(sizes).toEqual({ count: expected.count, parts: expected.parts, pages: expected.pages, overflow: 0 });
    const wrong = list.words.findIndex((word, index) => word !== expected.words[index]);
    const item = Math.floor(wrong / words);
    if (wrong >= 0) expect({ item, words: itemsOf(list)[item] }).toEqual({ item, words: itemsOf(expected)[item] });
  }
  return expected;
}

const defaults: Cut = {
  rows: 128,
  sink: 64,
  page: 64,
  sectionBytes: 30 << 20,
  tokenBytes: 512,
  blocks: 264,
  byCost: true,
  splitPages: 48,
  splitShare: { numerator: 1, denominator: 2 },
  fewest: 1,
};

interface Heads {
  readonly kvHeads: number;
  readonly group: number;
}

interface Tokens {
  readonly length: number;
  /** -1: no sequence. */
  readonly cached: number;
}

/** Each head has the window of `windowOf`, each ring the longest window of its heads, or a longer one. */
function batchOf(
  tokens: readonly Tokens[],
  { kvHeads, group }: Heads,
  windowOf: (slot: number, head: number) => number,
  longer = 0,
): Batch {
  const cuSeqlens = [5];
  for (const { length } of tokens) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  const heads = Array.from({ length: kvHeads * group }, (_, head) => head);
  const windows = tokens.flatMap((_, slot) => heads.map((head) => windowOf(slot, head)));
  const rings = Array.from({ length: tokens.length * kvHeads }, (_, ring) => {
    return [7 * ring, Math.max(...windows.slice(ring * group, (ring + 1) * group)) + longer];
  });
  return { cuSeqlens, cached: tokens.map(({ cached }) => cached), rings: rings.flat(), kvHeads, windows };
}

/** A batch of all that may differ, with some thousands of items at most. */
function randomCase(seed: number): Case {
  const random = randomOf(seed);
  const nat = (most: number): number => Math.floor(random() * (most + 1));
  const pick = <T>(...values: readonly T[]): T => values[nat(values.length - 1)]!;
  const often = (share: number): boolean => random() < share;
  const heads = { kvHeads: pick(1, 2, 3, 8), group: pick(1, 1, 2, 4, 7) };
  const longest = pick(1, 130, 600, 3000) / (heads.kvHeads * heads.group > 12 ? 2 : 1);
  const cachedMost = pick(70, 700, 6000, 40_000);
  const tokens = Array.from({ length: 1 + nat(pick(0, 3, 12, 40)) }, (): Tokens => {
    const length = often(0.15) ? 0 : often(0.2) ? 1 : nat(longest);
    return { length, cached: length <= 1 && often(0.3) ? -1 : often(0.4) ? 0 : nat(cachedMost) };
  });
  const width = (): number => pick(64, 128, 1, 37, 1000, 1024, 4096, 40_000, 1 + nat(5000));
  const widths = Array.from({ length: 1 + nat(4) }, width);
  const shifts = often(0.3);
  const windowOf = (slot: number, head: number): number => widths[(shifts ? slot + head : head) % widths.length]!;
  const share = (numerator: number, denominator: number) => ({ numerator, denominator });
  const cut = {
    ...defaults,
    rows: pick(64, 128, 16),
    sink: pick(0, 64, 100),
    sectionBytes: pick(1, 30 << 10, 1 << 20, 30 << 20, Infinity),
    blocks: pick(1, 7, 132, 264, 4000),
    byCost: often(0.85),
    splitPages: pick(1, 2, 5, 48, Infinity),
    splitShare: pick(share(1, 2), share(0, 1), share(3, 1)),
    fewest: pick(0, 1, 2),
  };
  return { cut, batch: batchOf(tokens, heads, windowOf, pick(0, 0, 64, 5)) };
}

/** Sequences that are all alike; windows take turns. */
function alike(slots: number, tokens: Tokens, heads: Heads, windows: readonly number[], part: Partial<Cut> = {}): Case {
  const all = Array.from({ length: slots }, () => tokens);
  return { cut: { ...defaults, ...part }, batch: batchOf(all, heads, (_, head) => windows[head % windows.length]!) };
}

const empty: List = { words: new Int32Array(), count: 0, parts: 0, pages: 0 };

describe('the list of the specification', () => {
  test('random batches', () => {
    const counts = Array.from({ length: 60 }, (_, seed) => expectSame(randomCase(seed)).count);
    expect(Math.max(...counts)).toBeGreaterThan(2000);
  });

  test('random batches, by three warps', () => {
    for (let seed = 100; seed < 115; seed += 1) expectSame(randomCase(seed), 96);
  });

  const [one, some] = [{ kvHeads: 1, group: 1 }, { kvHeads: 2, group: 2 }];
  const [short, manyHeads] = [{ length: 150, cached: 3 }, { kvHeads: 8, group: 1 }];
  test.each<[string, Case]>([
    ['many sequences', alike(64, { length: 300, cached: 0 }, { kvHeads: 8, group: 2 }, [128, 256, 4096])],
    ['one long prompt', alike(1, { length: 16_384, cached: 0 }, { kvHeads: 4, group: 4 }, [4096, 1024, 16_384])],
    ['a chunk', alike(1, { length: 2048, cached: 14_336 }, { kvHeads: 8, group: 4 }, [16_384, 1024, 2048])],
    ['costs of 10 bits', alike(2, { length: 40_000, cached: 0 }, { ...some, group: 1 }, [40_000], { sectionBytes: 1 })],
    [
      'more units and slots than shared memory holds',
      alike(300, short, manyHeads, [64, 128], { blocks: 20, sectionBytes: Infinity }),
    ],
    ['more slots than shared memory holds', alike(300, short, some, [64, 128], { blocks: 20, sectionBytes: 300_000 })],
    [
      'units that are longer than a section, and sections of more numbers than a digit has',
      alike(300, { length: 70, cached: 5_000_000 }, manyHeads, [5_000_000], { sectionBytes: Infinity }),
    ],
    [
      'a tail of as many items as there are threads',
      alike(50, { length: 128, cached: 0 }, { kvHeads: 8, group: 5 }, [64], { rows: 64, blocks: 512, tokenBytes: 1e4 }),
    ],
    [
      'items that are just as large a part of their sequence as is not split, and others',
      {
        cut: { ...defaults, rows: 64, sink: 0, blocks: 2, splitPages: 1 },
        batch: batchOf([1024, 1000].map((cached) => ({ length: 256, cached })), one, () => 128),
      },
    ],
    ['long sequences', alike(1, { length: 300, cached: 16_000_000 }, some, [15_000_000, 13_000_000, 64, 7_000_000])],
    [
      'more blocks of rows than a digit has',
      alike(1, { length: 5000, cached: 9 }, some, [64, 128], { rows: 16, byCost: false }),
    ],
  ])('%s', (_, given) => {
    expectSame(given);
  });

  test('no slots, and slots without new tokens, give no items', () => {
    for (const slots of [0, 1, 3]) {
      expect(planned(alike(slots, { length: 0, cached: 9 }, some, [128]), 4)).toEqual([{ list: empty, overflow: 0 }]);
    }
  });

  test('a list that has no space is told, and nothing is written', () => {
    for (const splitPages of [2, Infinity]) {
      const given = alike(2, { length: 2048, cached: 900 }, some, [1024], { splitPages });
      const list = specOf(given);
      expect(list.parts > 0).toBe(splitPages === 2);
      for (const capacity of [list.count - 1, list.count / 2, 0]) {
        expect(planned(given, capacity)).toEqual([{ list: empty, overflow: 1 }]);
      }
      expect(planned(given, list.count)).toEqual([{ list, overflow: 0 }]);
    }
  });
});

/** What words say, and the words of the rows: those of their parts are the same. */
interface Item {
  readonly rows: string;
  readonly unit: string;
  readonly length: number;
  readonly cached: number;
  readonly ringWindow: number;
  readonly firstPage: number;
  readonly pages: number;
  readonly part: number;
}

const readItems = ({ kvHeads, windows, cached: slots }: Batch, list: List): Item[] =>
  itemsOf(list).map((item) => {
    const [firstToken, length, , head, , cached, , ringWindow, firstPage, pages, part] = item as [number, ...number[]];
    const kvHead = Math.floor(head! / (windows.length / slots.length / kvHeads));
    const rows = item.slice(0, 4).join();
    const sizes = { length: length!, cached: cached!, ringWindow: ringWindow! };
    return { rows, unit: `${firstToken} ${kvHead}`, ...sizes, firstPage: firstPage!, pages: pages!, part: part! };
  });

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const group = groups.get(keyOf(value));
    if (group === undefined) groups.set(keyOf(value), [value]);
    else group.push(value);
  }
  return groups;
}


describe('any list', () => {
  const cases = integers(40).map((seed) => randomCase(seed + 1000));

  test('has every page of the rows of every head once', () => {
    for (const one of cases) {
      const { cut, batch } = one;
      const items = readItems(batch, specOf(one));
      const queryHeads = batch.windows.length / batch.cached.length;
      const rowsOf = (slot: number): number => {
        const length = batch.cuSeqlens[slot + 1]! - batch.cuSeqlens[slot]!;
        return batch.cached[slot]! < 0 || length < cut.fewest ? 0 : Math.ceil(length / cut.rows) * queryHeads;
      };
      const byRows = groupBy(items, ({ rows }) => rows);
      expect(byRows.size).toBe(sumOf(integers(batch.cached.length).map(rowsOf)));
      for (const parts of byRows.values()) {
        const [first, second, ...more] = parts.toSorted((a, b) => a.firstPage - b.firstPage);
        expect(more).toEqual([]);
        expect(first!.firstPage).toBe(0);
        if (second === undefined) {
          expect(first!.part).toBe(-1);
        } else {
          expect(first!.pages).toBe(2 * Math.ceil((first!.pages + second.pages) / 4));
          expect(second.firstPage).toBe(first!.pages);
          expect([first!.part % 2, second.part]).toEqual([0, first!.part + 1]);
        }
      }
      expect(sumOf(items.map(({ pages }) => pages))).toBe(spec.computedPages(cut, sinkWindow(cut.sink), batch));
      const parts = items.map(({ part }) => part).filter((part) => part >= 0);
      expect(parts.toSorted((a, b) => a - b)).toEqual(integers(parts.length));
    }
  });

  /** Costs are told apart as far as this: by 8 bits of the largest, before it is split. */
  const stepOf = (items: readonly Item[]): number => {
    const byRows = [...groupBy(items, ({ rows }) => rows).values()];
    const whole = byRows.map((parts) => sumOf(parts.map(({ pages }) => pages)));
    return 2 ** Math.max(0, Math.max(0, ...whole).toString(2).length - 8);
  };

  test('has the cheapest items at its end, which keep every block busy as long as the most expensive takes', () => {
    for (const one of cases.filter(({ cut }) => cut.byCost)) {
      const items = readItems(one.batch, specOf(one));
      const step = stepOf(items);
      const costs = items.map(({ pages }) => Math.floor(pages / step));
      const busy = one.cut.blocks * (Math.max(0, ...items.map(({ pages }) => pages)) - step + 1);
      let tail = 0;
      for (let sum = 0; tail < items.length && sum < busy; tail += 1) sum += items.at(-tail - 1)!.pages;
      const [front, last] = [costs.slice(0, costs.length - tail), costs.slice(costs.length - tail)];
      expect(last).toEqual(last.toSorted((a, b) => b - a));
      expect(Math.max(0, ...last)).toBeLessThanOrEqual(Math.min(Infinity, ...front));
    }
  });

  test('has sections of heads that fit and keep blocks busy, the most expensive first', () => {
    const long = { length: 4096, cached: 100 };
    const windows = [4096, 3000, 2000, 1500, 1024];
    const limits = [[6 << 20, 40], [1 << 20, 40], [Infinity, 100], [Infinity, 33], [6 << 20, 3]] as const;
    for (const [sectionBytes, blocks] of limits) {
      const one = alike(3, long, { kvHeads: 5, group: 2 }, windows, { sectionBytes, blocks });
      const items = readItems(one.batch, specOf({ ...one, cut: { ...one.cut, splitPages: Infinity } }));
      // Where a cost is larger than the one before, a section begins; the last ones lose items to the list's end.
      const sections: Item[][] = [];
      items.forEach((item, index) => {
        if (index === 0 || item.pages > items[index - 1]!.pages) sections.push([]);
        sections.at(-1)!.push(item);
      });
      expect(sections.length).toBeGreaterThan(3);
      const first = sections.slice(0, 2).map((section) => [...groupBy(section, ({ unit }) => unit).values()]);
      const tokensOf = (units: readonly Item[][]): number =>
        sumOf(units.map(([item]) => item!.length + Math.min(item!.cached, one.cut.sink + item!.ringWindow)));
      const itemsOfUnit = 2 * Math.ceil(long.length / one.cut.rows);
      const [units, next] = [first[0]!, first[1]!];
      expect(units.length === 1 || tokensOf(units) * one.cut.tokenBytes <= one.cut.sectionBytes).toBe(true);
      expect((units.length - 1) * itemsOfUnit).toBeLessThan(one.cut.blocks);
      const isFull = units.length * itemsOfUnit >= one.cut.blocks;
      const hasSpace = (tokensOf(units) + tokensOf(next.slice(0, 1))) * one.cut.tokenBytes <= one.cut.sectionBytes;
      expect(isFull || !hasSpace).toBe(true);
      // No head is in two of them, and none that comes later costs more.
      const costs = first.map((section) => section.map((unit) => sumOf(unit.map(({ pages }) => pages))));
      expect(new Set(first.flat().map(([item]) => item!.unit)).size).toBe(first.flat().length);
      expect(Math.min(...costs[0]!)).toBeGreaterThanOrEqual(Math.max(...costs[1]!) - Math.max(...costs[0]!) / 128);
    }
  });
});

const nvcc = await findNvcc({ variables: process.env }).catch(() => undefined);
if (nvcc === undefined) console.warn('SKIPPED: registers of the plan; put nvcc on PATH to see them');

describe.skipIf(nvcc === undefined)('through the real nvcc (skipped where there is none)', () => {
  test.each(['sm_90a', 'sm_80'])('1024 threads have enough registers, %s', { timeout: 120_000 }, (architecture) => {
    const folders = ['templates/cuda', 'templates/include'].flatMap((folder) => ['-I', join(root, folder)]);
    const options = ['-std=c++20', '-O3', '--expt-relaxed-constexpr', `-arch=${architecture}`, '-Xptxas', '-v'];
    const source = join(root, 'test/emulator/fixtures/prefillPlan.cu');
    const command = [nvcc!.path, '-cubin', ...options, '-DPLAN_SINK=64', ...folders, source];
    // ptxas tells on the error output.
    const shell = ['-c', 'exec "$0" "$@" 2>&1', ...command, '-o', join(scratchFolder(), 'plan.cubin')];
    const told = execFileSync('sh', shell, { encoding: 'utf8' });
    expect(Number(/Used (\d+) registers/.exec(told)?.[1])).toBeLessThanOrEqual(64);
    expect(told).toContain('0 bytes spill stores, 0 bytes spill loads');
  });
});
