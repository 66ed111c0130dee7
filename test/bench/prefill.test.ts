/** The parts of bench/prefill that need no GPU: scenarios and their pairs, the fitted line, the report. And what it shares with bench/decode. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parsePackage } from '../../bench/lib/arguments.ts';
import { readRun } from '../../bench/lib/readRun.ts';
import { printJson } from '../../bench/lib/writeJson.ts';
import { fitLine } from '../../bench/prefill/fit.ts';
import { makeReport } from '../../bench/prefill/makeReport.ts';
import { allowedPairs, tflops } from '../../bench/prefill/pairs.ts';
import type { MeasuredRow, OursFile, PeersFile, Point, Row } from '../../bench/prefill/results.ts';
import { batchOf, chunk, cuSeqlensOf, moreScenarios, oneSequence, type Scenario } from '../../bench/prefill/scenarios.ts';
import { allows } from '../../src/mask/mask.ts';
import { sinkWindow } from '../../src/mask/sinkWindow.ts';

const headDim = 128;
const smallScenarios = [oneSequence(300), chunk(70, 200), chunk(64, 128), batchOf('mixed', 200, [150, 3, 150, 64])];

describe('scenarios', () => {
  test('add up, and fit the session', () => {
    for (const { tokens, held, bound, lengths } of [...moreScenarios, ...smallScenarios]) {
      expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(tokens);
      expect(held + Math.max(...lengths)).toBeLessThanOrEqual(bound);
      expect(cuSeqlensOf(lengths).at(-1)).toBe(tokens);
    }
  });

  test('are told apart by name, tokens and tokens held', () => {
    const names = moreScenarios.map(({ scenario, tokens, held }) => `${scenario} ${tokens} ${held}`);
    expect(names).toEqual(['chunked 2048 14336', 'chunked 2048 16384', 'ragged 32768 0', 'mixed 32768 0']);
  });

  test('mixed lengths are many, from short to long', () => {
    const { lengths } = moreScenarios.at(-1)!;
    expect(new Set(lengths).size).toBe(64);
    expect([Math.min(...lengths), Math.max(...lengths)]).toEqual([64, 960]);
  });
});

describe('pairs', () => {
  const pairByPair = ({ lengths, held }: Scenario, windows: readonly number[], sink: number): number => {
    let pairs = 0;
    for (const length of lengths) for (const window of windows) for (let i = held; i < held + length; i += 1) for (let j = 0; j <= i; j += 1) if (allows(sinkWindow(sink), i, j, window)) pairs += 1;
    return pairs;
  };

  test.each(smallScenarios)('that are allowed are those of the mask: $scenario, $tokens behind $held', (scenario) => {
    expect(allowedPairs(scenario, [64, 100, 1000], 64)).toBe(pairByPair(scenario, [64, 100, 1000], 64));
  });

  test('take four operations for each element of a head', () => expect(tflops(1e9, headDim, 1)).toBeCloseTo(512, 9));
});

function row(point: Partial<Point>, ms: number, activePairs: number, computed?: number): MeasuredRow {
  const rate = (pairs: number): number => tflops(pairs, headDim, ms);
  return {
    plan: 'a',
    implementation: 'sm_90a',
    dtype: 'bf16',
    scenario: 'one',
    tokens: 16384,
    held: 0,
    ...point,
    layers: 2,
    ms,
    withAppendMs: ms + 0.01,
    activePairs,
    activeTflops: rate(activePairs),
    ...(computed === undefined ? {} : { computedPairs: computed, computedTflops: rate(computed) }),
  };
}

describe('fitLine', () => {
  const pairsAt = [2048, 4096, 8192, 16384].map((tokens) => [tokens, 16 * tokens * tokens] as const);
  /** 5 us, then 600 TFLOP/s. */
  const msOf = (pairs: number): number => 0.005 + (4 * headDim * pairs) / 600e9;

  test('finds the rate at which computed pairs are computed', () => {
    const fit = fitLine(pairsAt.map(([tokens, pairs]) => row({ tokens }, msOf(pairs), pairs / 2, pairs)), headDim)!;
    expect(fit.slopeTflops).toBeCloseTo(600, 6);
    expect(fit.interceptUs).toBeCloseTo(5, 6);
    expect(Math.abs(fit.worst.percent)).toBeLessThan(1e-6);
  });

  test('takes the pairs that are active where no others are known, and names the worst point', () => {
    const fit = fitLine(pairsAt.map(([tokens, pairs]) => row({ tokens }, msOf(pairs) * (tokens === 4096 ? 1.1 : 1), pairs)), headDim)!;
    expect(fit.worst.tokens).toBe(4096);
    expect(fit.worst.us).toBeGreaterThan(0);
    expect(fitLine([], headDim)).toBeUndefined();
  });
});

describe('the report', () => {
  const facts = { layers: 2, queryHeads: 2, kvHeads: 2, headDim, sink: 64, windows: { 16384: { 0: [64, 192] } } };
  const sweep = [2048, 4096, 8192, 16384].flatMap((tokens) => [
    row({ tokens }, tokens / 8192, tokens * 5e5, tokens * 6e5),
    row({ tokens, implementation: 'sm_90' }, tokens / 4096, tokens * 5e5, tokens * 6e5),
  ]);
  const ours: OursFile = {
    device: 'NVIDIA H200',
    plans: { a: facts, b: facts },
    scenarios: [oneSequence(16384), ...moreScenarios],
    rows: [
      ...sweep,
      row({ scenario: 'chunked', tokens: 2048, held: 16384 }, 1, 1.953125e9, 2e9),
      row({ scenario: 'ragged', tokens: 32768 }, 1, 5e8, 6e8),
      row({ dtype: 'fp16' }, 2, 8e9, 9e9),
      { ...row({ plan: 'b' }, 2, 8e9, 9e9), hostMs: 1.9 },
      { ...failed({ plan: 'b', tokens: 65536 }), error: 'out of memory' },
    ],
  };
  const { withAppendMs: _withAppendMs, ...peerRow } = row({ implementation: 'cudnn' }, 1.5, 1e9);
  const peers: PeersFile = {
    device: 'NVIDIA H200',
    torch: '2.11.0',
    cudnn: 91900,
    flexOptions: { 128: { options: { BLOCK_M: 128, num_warps: 8 }, ms: 7, tried: 5, failed: 1 } },
    leftOut: { flex: 3 },
    rows: [peerRow, { ...failed({ implementation: 'flex' }), error: 'no' }],
  };

  function failed(point: Partial<Point>): Point {
    return { plan: 'a', implementation: 'sm_90a', dtype: 'bf16', scenario: 'one', tokens: 16384, held: 0, ...point };
  }

  test('has a line for each N and a column for each implementation', () => {
    const { text } = makeReport({ ours, peers });
    expect(text).toContain('NVIDIA H200: 13 points, 2 failed');
    expect(text).toContain('b, sm_90a, one, N = 16384: the GPU may have waited for the host, 1.9 of 2 ms');
    expect(text).toContain('flex: no time for 3 points');
    expect(text).toContain('flex, headDim 128: {"BLOCK_M":128,"num_warps":8}, the best of 5');
    const lines = text.split('\n');
    expect(lines).toContain('| plan, N | ours, sm_90a | ours, sm_90 | cuDNN, dense | FlexAttention |');
    expect(lines).toContain('| a, 2048 | 0.250 (2097 / 2517) | 0.500 (1049 / 1258) | - | - |');
    expect(lines).toContain('| a, 16384 | 2.000 (2097 / 2517) | 4.000 (1049 / 1258) | 1.500 (341) | - |');
    expect(lines).toContain('| a, 16384, fp16 | 2.000 (2048 / 2304) | - | - | - |');
    expect(lines).toContain('| b, 65536 | - | - | - | - |');
  });

  test('sets the rate of a chunk against that of a whole prompt', () => {
    const lines = makeReport({ ours, peers }).text.split('\n');
    expect(lines).toContain('| a, 2048 behind 16384 | 1.000 (1000 / 1024), 48 % |');
    expect(lines).toContain('| a, ragged, 32768 | 1.000 (256 / 307) |');
  });

  test('says what the append adds, and the fitted lines', () => {
    const lines = makeReport({ ours, peers }).text.split('\n');
    expect(lines).toContain('| a, 2048 | +10.0 us, +4.0 % | +10.0 us, +2.0 % |');
    expect(lines.find((line) => line.startsWith('| a | ours, sm_90a | 4 |'))).toMatch(/\| 2517 \| -?0\.0 \|/);
  });

  test('keeps rows, fits and conditions for the repository', () => {
    const { result } = makeReport({ ours, peers });
    expect(result).toMatchObject({ device: 'NVIDIA H200', command: 'bench/prefill/prefill.sh', torch: '2.11.0', leftOut: { flex: 3 }, plans: { a: { headDim } } });
    const text = printJson(result);
    expect(text).not.toContain('windows');
    expect(text.split('\n').filter((line) => /"plan": ?"[ab]"/.test(line))).toHaveLength(15 + 2);
  });

  test('has a figure of each plan, whatever is missing', () => {
    const rows: readonly Row[] = [{ ...failed({}), error: 'no' }];
    for (const run of [{ ours, peers }, { ours, peers: undefined }, { ours: { ...ours, rows }, peers: undefined }]) {
      const { figures, text } = makeReport(run);
      expect(Object.keys(figures)).toEqual(['a', 'b']);
      expect(figures['a']).toContain('Prefill, a, NVIDIA H200');
      expect(Object.values(figures).join('') + text).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  test('wants both parts from one kind of device', () => {
    const folder = mkdtempSync(join(tmpdir(), 'moa-bench-'));
    try {
      const write = (name: string, device: string): void => writeFileSync(join(folder, `prefill-${name}.json`), JSON.stringify({ device }));
      write('ours', 'H100');
      expect(readRun(folder, 'prefill')).toEqual({ ours: { device: 'H100' }, peers: undefined });
      write('peers', 'H200');
      expect(() => readRun(folder, 'prefill')).toThrow('ours ran on H100, the peers on H200');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

test('a package is plan=variant:folder', () => {
  expect(parsePackage('vicuna-7b=sm_90a:generated/x:y=z')).toEqual({ plan: 'vicuna-7b', implementation: 'sm_90a', folder: 'generated/x:y=z' });
  for (const wrong of ['', 'a', 'a=b', 'a:b', '=b:c']) expect(() => parsePackage(wrong)).toThrow('plan=variant:folder');
});

const hasPython = spawnSync('python3', ['--version']).status === 0;

test.skipIf(!hasPython)('all Python of the benchmarks is Python', () => {
  const files = readdirSync('bench', { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.py'));
  expect(files.length).toBeGreaterThan(6);
  const { status, stderr } = spawnSync('python3', ['-c', 'import ast, sys\nfor path in sys.argv[1:]: ast.parse(open(path).read(), path)', ...files.map((path) => join('bench', path))], { encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
});
