/** The parts of bench/decode that need no GPU: which layers are measured, the fitted line, the order and text of results. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseLayers, chooseLayersOf } from '../../bench/lib/chooseLayers.ts';
import { planFigure } from '../../bench/decode/figures.ts';
import { fitLine } from '../../bench/decode/fit.ts';
import { inOrder, type MeasuredRow, type Row } from '../../bench/decode/results.ts';
import { fitTable, speedTable } from '../../bench/decode/tables.ts';
import { quantile } from '../../bench/lib/statistics.ts';
import { printJson } from '../../bench/lib/writeJson.ts';
import { renderSvg } from '../../bench/plot/svg.ts';

function row(implementation: string, tokens: number, batch: number, bytes: number, us: number, plan = 'tiny'): MeasuredRow {
  return { plan, implementation, tokens, batch, layers: [0], us, p10Us: us, p90Us: us, bytes, tbps: bytes / us / 1e6 };
}

describe('chooseLayers', () => {
  test('takes the layer nearest to the mean of each slice', () => {
    expect(chooseLayers([10, 90, 21, 80, 60], 2)).toEqual([2, 3]);
    expect(chooseLayers([5, 100, 40], 1)).toEqual([2]);
    expect(chooseLayers([7, 7, 7, 7], 4)).toEqual([0, 1, 2, 3]);
  });

  test('as many layers as asked for, rising, and all of them at the end', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 40 }), fc.nat(), (bytes, seed) => {
        const count = 1 + (seed % bytes.length);
        const layers = chooseLayers(bytes, count);
        expect(layers).toHaveLength(count);
        expect([...new Set(layers)].sort((a, b) => a - b)).toEqual(layers);
        expect(layers.every((layer) => layer >= 0 && layer < bytes.length)).toBe(true);
      }),
    );
  });

  test('as few as hold enough bytes', () => {
    expect(chooseLayersOf([10, 90, 20, 80], 20)).toEqual([2]);
    expect(chooseLayersOf([10, 10, 10, 10], 15)).toHaveLength(2);
    expect(chooseLayersOf([10, 10, 10, 10], 15, 3)).toHaveLength(3);
    expect(chooseLayersOf([10, 10, 10], 1000)).toEqual([0, 1, 2]);
    expect(chooseLayersOf([10], 1000)).toEqual([0]);
  });
});

describe('fitLine', () => {
  const points = [1, 2, 4, 8, 16, 64, 1024].map((mega) => mega * 1e6);

  test('finds a line that is there, over three orders of magnitude', () => {
    const fit = fitLine(points.map((bytes) => row('a', 1, 1, bytes, 7 + bytes / 4.5e6)))!;
    expect(fit.slopeTbps).toBeCloseTo(4.5, 6);
    expect(fit.interceptUs).toBeCloseTo(7, 6);
    expect(Math.abs(fit.worst.percent)).toBeLessThan(1e-6);
  });

  test('names the point that is farthest off, and its sign', () => {
    const rows = points.map((bytes, at) => row('a', 4096, 2 ** at, bytes, (7 + bytes / 4.5e6) * (at === 2 ? 1.1 : 1)));
    const { worst } = fitLine(rows)!;
    expect(worst).toMatchObject({ tokens: 4096, batch: 4 });
    expect(worst.percent).toBeGreaterThan(5);
    expect(worst.us).toBeGreaterThan(0);
  });

  test('small points count: no other line has a smaller sum of squared relative errors', () => {
    const rows = points.map((bytes, at) => row('a', 1, 1, bytes, (7 + bytes / 4.5e6) * (1 + 0.05 * Math.sin(at))));
    const { slopeTbps, interceptUs } = fitLine(rows)!;
    const cost = (slope: number, intercept: number): number => rows.reduce((sum, { us, bytes }) => sum + ((us - intercept - bytes / slope / 1e6) / us) ** 2, 0);
    for (const [slope, intercept] of [[1.001, 1], [0.999, 1], [1, 1.01], [1, 0.99]] as const) {
      expect(cost(slopeTbps * slope, interceptUs * intercept)).toBeGreaterThan(cost(slopeTbps, interceptUs));
    }
  });

  test('is undefined where there is no line', () => {
    expect(fitLine([])).toBeUndefined();
    expect(fitLine([row('a', 1, 1, 1e6, 3), row('a', 1, 1, 2e6, 4)])).toBeUndefined();
    expect(fitLine([1, 2, 3].map((us) => row('a', 1, 1, 1e6, us)))).toBeUndefined();
  });
});

describe('results', () => {
  const rows: Row[] = [
    row('flex', 16384, 1, 1e6, 40, 'b'),
    row('flash', 16384, 1, 2e6, 50, 'b'),
    row('sm_90', 16384, 8, 1e6, 20, 'b'),
    row('sm_90', 4096, 1, 1e6, 20, 'b'),
    row('sm_90', 16384, 1, 1e6, 10, 'a'),
    { plan: 'a', implementation: 'cudnn', tokens: 16384, batch: 1, error: 'out of memory' },
  ];

  test('are in the order of plan, implementation (ours first), N and batch', () => {
    const names = inOrder(rows).map(({ plan, implementation, tokens, batch }) => `${plan} ${implementation} ${tokens} ${batch}`);
    expect(names).toEqual(['b sm_90 4096 1', 'b sm_90 16384 8', 'b flash 16384 1', 'b flex 16384 1', 'a sm_90 16384 1', 'a cudnn 16384 1']);
  });

  test('make tables in which what is missing or failed is a dash', () => {
    expect(speedTable(inOrder(rows), 16384, [1]).split('\n')).toEqual([
      '| plan, batch, N = 16384 | ours, sm_90 | FlashAttention-2, dense | cuDNN, dense | FlexAttention |',
      '|---|---|---|---|---|',
      '| b, 1 | - | 50.0 (0.04) | - | 40.0 (0.03) |',
      '| a, 1 | 10.0 (0.10) | - | - | - |',
    ]);
    const fit = { plan: 'a', implementation: 'sm_90', points: 28, slopeTbps: 4.456, interceptUs: 6.54, worst: { percent: 3.21, us: 0.5, tokens: 4096, batch: 1 } };
    expect(fitTable([fit])).toContain('| a | ours, sm_90 | 28 | 4.46 | 6.5 | +3.2 %, +0.5 us at N = 4096, batch 1 |');
  });

  test('make a figure of a plan, whatever is missing', () => {
    const measured = rows.filter((one): one is MeasuredRow => !('error' in one));
    for (const plan of ['a', 'b', 'c']) {
      const svg = renderSvg(planFigure(plan, 'NVIDIA H200', plan === 'a' ? undefined : 4.4, measured));
      expect(svg).toContain(`Decode, ${plan}, NVIDIA H200`);
      expect(svg).not.toMatch(/NaN|undefined/);
    }
  });

  test('are JSON with a row on a line', () => {
    const value = { device: 'x', empty: [], none: {}, rows };
    const text = printJson(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(text.split('\n').filter((line) => line.includes('"plan"'))).toHaveLength(rows.length);
  });
});

test('quantiles are values of the sample', () => {
  const sample = [5, 1, 4, 2, 3];
  expect([0, 0.1, 0.5, 0.9, 1].map((share) => quantile(sample, share))).toEqual([1, 1, 3, 5, 5]);
  expect(sample).toEqual([5, 1, 4, 2, 3]);
});
