import { readFileSync } from 'node:fs';

import { describe, expect, test } from 'vitest';

import { bytesOf, Kernel, seeds, Status, unwritten, wordsOf, type Finding, type LaunchResult, type LaunchSpec } from './harness.ts';

const kernel = new Kernel('pipeline');
const text = readFileSync(new URL('fixtures/pipeline.cu', import.meta.url), 'utf8');
const lines = text.split('\n');
const lineOf = (mark: string): number => lines.findIndex((line) => line.includes(`// @${mark}`)) + 1;
const modes = (/enum Mode \{([^}]*)\}/.exec(text)?.[1] ?? '').split(',').map((name) => name.trim());
const tiles = 11;
const tileWords = 128;
const stages = 3;
const input = Uint32Array.from({ length: tiles * tileWords }, (_, i) => i + 1);
const nan = 0xffffffff;

function spec(mode: string): LaunchSpec {
  const i32 = modes.indexOf(mode);
  if (i32 < 0) throw new Error(`the fixture has no mode ${mode}`);
  return {
    buffers: [bytesOf(input), unwritten(input.byteLength)],
    params: [{ buffer: 0 }, { buffer: 1 }, { i32 }],
    threads: 160,
    sharedBytes: 128 + stages * tileWords * 4,
    findingCapacity: 1000,
  };
}
const run = (mode: string, count: number): LaunchResult[] => kernel.launches(spec(mode), seeds(count));
const output = (result: LaunchResult): Uint32Array => wordsOf(result.buffers[1] as Uint8Array);
const isRight = (result: LaunchResult): boolean => output(result).every((word, i) => word === input[i]);
const has = (kind: string) => (result: LaunchResult): boolean => result.findings.some((finding) => finding.kind === kind);
const isWrong = (result: LaunchResult): boolean => !isRight(result) || result.findings.length > 0;
const kinds = (findings: readonly Finding[]): string[] => [...new Set(findings.map((finding) => finding.kind))];

test.each(['kRight', 'kProxyFence', 'kArriveMany'])('%s: every tile arrives, whatever the seed', (mode) => {
  for (const result of run(mode, 200)) {
    expect(result).toMatchObject({ status: Status.ok, findings: [] });
    expect(isRight(result)).toBe(true);
    expect(result.counters).toMatchObject({ bulkCopies: 2 * tiles, bulkCopyBytes: input.byteLength, mbarrierWaits: 5 * tiles, namedBarriers: 0 });
  }
});

describe('every seed finds', () => {
  test.each([
    ['kTooFewBytes', 'transaction', 'secondCopy', 'copies of 512 bytes in phase 0 of the mbarrier at byte 0, which expects 496'],
    ['kNoExpect', 'transaction', 'firstCopy', 'which expects 0'],
    ['kNoProxyFence', 'proxy', 'firstCopy', 'where a thread stored and called no asyncProxyFence since'],
    ['kArriveTwice', 'mbarrier', 'arriveTwice', 'has had its 1 arrivals and waits for bytes'],
    ['kArriveTooMany', 'mbarrier', 'arriveTooMany', '5 arrivals, and phase 0 of the mbarrier at byte 24 takes 1 to 4 more'],
    ['kNoInit', 'mbarrier', 'noInit', 'byte 64, where no mbarrier was initialised'],
    ['kInitTwice', 'mbarrier', 'initTwice', `made an mbarrier that is in use`],
    ['kMisalignedBarrier', 'misaligned', 'misalignedBarrier', 'mbarrierInit of 8 bytes'],
    ['kNoArrivals', 'mbarrier', 'noArrivals', 'with 0 arrivals'],
    ['kNoInitFence', 'mbarrier', 'firstCopy', 'called no mbarrierInitFence after'],
    ['kNeverAwaited', 'pending-copy', 'secondCopy', 'no warp has waited for phase 3 of the mbarrier at byte 8'],
    ['kPlainLoad', 'mbarrier', 'plainLoad', 'where an mbarrier lies'],
    ['kPlainStore', 'mbarrier', 'plainStore', 'where an mbarrier lies'],
    ['kSize', 'misaligned', 'size', 'bulkCopy of 24 bytes; it takes a multiple of 16'],
    ['kSourceAlignment', 'misaligned', 'sourceAlignment', 'from global memory of 16 bytes'],
    ['kSourceBounds', 'out-of-bounds', 'sourceBounds', 'bulkCopy from global memory of 528 bytes'],
    ['kTargetAlignment', 'misaligned', 'targetAlignment', 'bulkCopy of 16 bytes to shared address'],
    ['kTargetBounds', 'shared-out-of-bounds', 'targetBounds', 'byte 1648 of 1664'],
    ['kSourceWritten', 'proxy', 'look', 'which a plain store of this launch wrote'],
  ])('%s: %s', (mode, kind, mark, message) => {
    for (const result of run(mode, 40)) {
      expect(result.findings[0]?.kind).toBe(kind);
      expect(result.findings[0]?.message).toContain(`pipeline.cu:${lineOf(mark)}: block 0 thread `);
      expect(result.findings[0]?.message).toContain(message);
    }
  });

  test.each([
    ['kTooManyBytes', 'fullWait', /4 wait here at mbarrierWait for parity 0 of the mbarrier at byte 0; its phase 0 needs 0 of 1 arrivals and 16 of 528 bytes, none/],
    ['kWrongStart', 'emptyWait', /1 wait here at mbarrierWait for parity 0 of the mbarrier at byte 24; its phase 0 needs 4 of 4 arrivals and 0 of 0 bytes/],
    ['kProducerExits', 'fullWait', /4 wait here at mbarrierWait .* needs 1 of 1 arrivals/],
    ['kMissingConsumer', 'emptyWait', /1 wait here at mbarrierWait for parity 0 of the mbarrier at byte 24; its phase 0 needs 1 of 4 arrivals/],
  ])('%s: a deadlock, with all who wait', (mode, mark, message) => {
    for (const result of run(mode, 40)) {
      expect(result.status).toBe(Status.aborted);
      expect(kinds(result.findings)).toEqual(['deadlock']);
      const found = result.findings.find((finding) => finding.message.includes(`pipeline.cu:${lineOf(mark)}:`));
      expect(found?.message).toMatch(message);
    }
  });

  test('kLanesDiffer: a wait that is not the whole warp\'s', () => {
    for (const result of run('kLanesDiffer', 10)) {
      expect(result.status).toBe(Status.aborted);
      expect(result.findings[0]).toMatchObject({ kind: 'divergence', message: expect.stringContaining('mbarrierWait with other arguments than lane 0') });
    }
  });

  test('kPhaseNotFlipped: wrong numbers or a deadlock', () => {
    for (const result of run('kPhaseNotFlipped', 100)) expect(isWrong(result)).toBe(true);
  });
});

describe('many seeds show', () => {
  const share = (mode: string, shows: (result: LaunchResult) => boolean): number => run(mode, 100).filter(shows).length / 100;

  test('a consumer that does not wait', () => {
    expect(share('kNoFullWait', (result) => output(result).includes(nan))).toBeGreaterThan(0.8);
  });
  test('a producer that overwrites a stage in use', () => {
    expect(share('kNoEmptyWait', isWrong)).toBeGreaterThan(0.8);
  });
  test('an arrival for a warp of which not all lanes have read', () => {
    expect(share('kNoWarpBarrier', isWrong)).toBeGreaterThan(0.5);
  });
  test('a consumer that the producer does not wait for', () => {
    // It has to fall behind by all stages.
    expect(share('kUncounted', isWrong)).toBeGreaterThan(0.15);
    const messages = run('kUncounted', 200).flatMap((result) => result.findings.map((finding) => finding.message));
    expect(messages.some((message) => message.includes('may miss it'))).toBe(true);
  });
  test('a store where a copy is in flight', () => {
    expect(share('kStoreInFlight', has('in-flight'))).toBeGreaterThan(0.8);
  });
  test('two copies to one place', () => {
    expect(share('kCopyInFlight', has('in-flight'))).toBeGreaterThan(0.8);
  });
  test('mbarriers that other warps use with no barrier of the block between', () => {
    expect(share('kNoBlockBarrier', has('mbarrier'))).toBe(1);
  });
});

test('a copy lands whole, in parts, or not at all before it is waited for; its source is read early or late', () => {
  const looked = run('kParts', 200).map((result) => {
    expect(result.findings).toEqual([]);
    expect(output(result).subarray(tileWords, 2 * tileWords)).toEqual(input.subarray(0, tileWords));
    return output(result)
      .subarray(0, tileWords)
      .filter((word) => word !== nan).length;
  });
  expect(looked).toContain(0);
  expect(looked).toContain(tileWords);
  expect(looked.some((landed) => landed > 0 && landed < tileWords)).toBe(true);
  const read = run('kSourceChanges', 40).map((result) => output(result)[tileWords + 50] === 7);
  expect(new Set(read)).toEqual(new Set([true, false]));
});

test('the same seed gives the same run, with ucontext too', () => {
  const portable = new Kernel('pipeline', ['-DMOA_EMULATOR_UCONTEXT']);
  expect(portable.launches(spec('kRight'), seeds(3))).toEqual(run('kRight', 3));
});
