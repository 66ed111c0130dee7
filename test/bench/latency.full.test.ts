/** The latency benchmark of bench/search: its ladder plan through the compiler, and its measurements on the emulator, whose times mean nothing. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ladderCases } from '../../bench/search/ladderCases.ts';
import { ladderOf, ladderPlan } from '../../bench/search/ladderPlan.ts';
import { isMeasured, latencyTable, type LatencyRow } from '../../bench/search/latencyRows.ts';
import { printJson } from '../../bench/lib/writeJson.ts';
import { spanOf } from '../../src/ir/affine.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { readLatencyTable, timeOf } from '../../src/search/latencyTable.ts';
import { FieldReader } from '../../src/search/fields.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import type { JsonValue } from '../../src/util/jsonReader.ts';
import { repositoryPath, runTypeScript } from '../cli/installed.ts';
import { compileText, targetsOf } from '../compile/support.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const shape = { queryHeads: 2, kvHeads: 1, headDim: 64, elementType: 'bf16' } as const;
const { architectures } = targetsOf('sm_90');
const facts = { device: 'a device', shape, command: 'bench' };

const row = (length: number, span: number, us: number): LatencyRow => ({ phase: 'decode', length, span, us, launchUs: us, p10Us: us, p90Us: us, measured: 1 });

/** Reads a table as `check-plan` reads it. */
function readTable(made: object): NonNullable<ReturnType<typeof readLatencyTable>> {
  const diagnostics = new DiagnosticList();
  const fields = new FieldReader('table.json', { key: 'MOA7203', value: 'MOA7204', format: 'MOA7202' }, diagnostics);
  const read = readLatencyTable(fields, JSON.parse(printJson(made)) as JsonValue, '');
  expect(diagnostics.toArray()).toEqual([]);
  return read!;
}

describe('the ladder', () => {
  test('has powers of two, halfway between them, and the lengths', () => {
    expect(ladderOf([1024])).toEqual([128, 192, 256, 384, 512, 768, 1024]);
    expect(ladderOf([320, 1280])).toEqual([128, 192, 256, 320, 384, 512, 768, 1024, 1280]);
    expect(() => ladderOf([1000])).toThrow('multiples of 64');
    expect(() => ladderOf([64])).toThrow('multiples of 64');
    expect(() => ladderPlan(shape, [16384], 100)).toThrow('a plan has 1 to 1024');
  });

  test('is a plan without a remark, whose layers keep their span or all, at any length', () => {
    const diagnostics = new DiagnosticList();
    const plan = parsePlan(JSON.stringify(ladderPlan(shape, [1024, 4096], 3)), 'ladder.json', diagnostics)!;
    expect(diagnostics.toArray()).toEqual([]);
    const spans = ladderOf([1024, 4096]);
    expect(plan.layers).toBe(3 * spans.length);
    for (const length of [1024, 4096]) {
      expect(plan.rules.map(([rule]) => spanOf(rule!, plan.limits, length, null))).toEqual(spans.flatMap((span) => Array<number>(3).fill(Math.min(span, length))));
    }
    const { definition } = compileText(JSON.stringify(ladderPlan(shape, [1024, 4096], 3)), { architectures }).runtime({});
    expect(ladderCases(definition, 1024).map(({ span, layers }) => [span, layers.length])).toEqual(ladderOf([1024]).map((span) => [span, 3]));
    expect(ladderCases(definition, 4096).map(({ span }) => span)).toEqual(spans);
    expect(() => ladderCases(definition, 8192)).toThrow('the ladder ends at 4096');
  });
});

describe('the table', () => {
  test('never falls along the spans, and says what was raised', () => {
    const made = latencyTable([row(256, 128, 2), row(256, 192, 1.6), row(256, 256, 3)], 'decode', facts);
    expect(made.lengths).toEqual([{ length: 256, spans: [128, 192, 256], times: [2, 2, 3] }]);
    expect(made.command).toBe('bench; 1 of 3 times raised to that of the next shorter span, by at most 25.0 %');
    expect(timeOf(readTable(made).lengths[0]!, 224)).toBe(2.5);
  });

  test('leaves out what failed, and a length whose dense head did', () => {
    const failed = (length: number, span: number): LatencyRow => ({ phase: 'decode', length, span, error: 'out of memory' });
    const made = latencyTable([row(256, 128, 1), failed(256, 192), row(256, 256, 2), row(512, 128, 1), failed(512, 512)], 'decode', facts);
    expect(made.lengths).toEqual([{ length: 256, spans: [128, 256], times: [1, 2] }]);
    expect(made.command).toBe('bench; all as measured; 3 points are missing');
  });

  test('of any times is one that the search reads', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.001, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 20 }), (times) => {
        const length = 64 * (times.length + 1);
        const { lengths } = readTable(latencyTable(times.map((us, n) => row(length, 64 * (n + 2), us)), 'decode', facts));
        expect(lengths[0]!.times).toEqual(times.map((_, n) => Math.max(...times.slice(0, n + 1))));
      }),
    );
  });
});

test('the programs, on the emulator: plan, package, tables', () => {
  const folder = scratchFolder();
  runTypeScript('-p', repositoryPath('tsconfig.bench.json'), '--outDir', join(folder, 'programs'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(repositoryPath(''), join(folder, 'node_modules', 'moa-compile'));
  const run = (...args: readonly string[]): string => execFileSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });

  run('programs/search/latencyPlan.js', 'plan.json', '--lengths', '128,256', '--query-heads', '2', '--kv-heads', '1', '--copies', '2');
  run(repositoryPath('bin/moa-compile.js'), 'plan.json', '--arch', 'sm_90', '--no-rope', '--emit=cuda,ts', '-q', '-o', 'ladder');
  const printed = run('programs/search/measureLatency.js', 'tiny', 'ladder', '--device', 'emulator', '--lengths', '128,256', '--batch', '2', '--replays', '2', '--sessions', '2');
  const read = (name: string): object => JSON.parse(readFileSync(join(folder, name), 'utf8')) as object;

  for (const phase of ['decode', 'prefill']) {
    const table = readTable(read(`tiny-${phase}.json`));
    expect(table).toMatchObject({ device: 'emulator', phase, headDim: 64, groupSize: 2 });
    expect(table.lengths.map(({ length, spans }) => [length, spans])).toEqual([[128, [128]], [256, [128, 192, 256]]]);
    expect(table.lengths.flatMap(({ times }) => times).every((time) => time > 0)).toBe(true);
    expect(printed).toContain(`${phase}: us a KV head`);
  }
  // A page of keys and values is 16 KiB here; two sequences, with spans of 2, then 2, 3 and 4 pages.
  const { rows } = read('tiny-rows.json') as { readonly rows: readonly LatencyRow[] };
  expect(rows.every(isMeasured)).toBe(true);
  expect(rows.flatMap((one) => (isMeasured(one) && one.bytes !== undefined ? [one.bytes / 16384] : []))).toEqual([4, 4, 6, 8]);
});
