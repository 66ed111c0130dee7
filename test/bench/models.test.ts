/** The parts of bench/models that are in TypeScript: claims, tables and the figure. */
import { describe, expect, test } from 'vitest';
import { claims, holds } from '../../bench/models/claims.ts';
import { modelsFigure } from '../../bench/models/figures.ts';
import { Rows, type Batch, type Row } from '../../bench/models/results.ts';
import { claimTable, missing, speedTable } from '../../bench/models/tables.ts';
import { renderSvg } from '../../bench/plot/svg.ts';

function row(id: string, figures: Partial<Row>): Row {
  const [kind, model, tokens, implementation, batch] = id.split('/') as [Row['kind'], string, string, string, Batch];
  return { id, kind, model, tokens: Number(tokens), implementation, batch, rows: 7, ...figures };
}

const measured: readonly Row[] = [
  row('bare/vicuna-7b/16384/cudnn/most', { tokensPerSecond: 360, peakGiB: 69, cacheGiB: 56 }),
  row('bare/vicuna-7b/16384/ours/most', { tokensPerSecond: 720, joulesPerToken: 0.8, rows: 14 }),
  row('bare/vicuna-7b/16384/ours/dense', { tokensPerSecond: 600, peakGiB: 41, cacheGiB: 28 }),
  row('bare/llama-3-8b/16384/cudnn/most', { peakGiB: 70, cacheGiB: 54 }),
  row('bare/llama-3-8b/16384/ours/dense', { peakGiB: 52, cacheGiB: 36 }),
  row('bare/llama-3-8b/16384/ours/one', { msPerStep: 6, tokensPerSecond: 167 }),
  row('first-token/llama-3-8b/16384/ours/one', { firstTokenMs: 900, attentionMs: 70, kernelMs: 68 }),
  row('first-token/llama-3-8b/16384/dynamic/one', { firstTokenMs: 1000 }),
  row('layer-cost/llama-3-8b/16384/ours/one', { usPerCall: 20 }),
  row('generate/vicuna-7b/16384/static/most', { error: 'it took longer than 210 s' }),
];
const rows = new Rows(measured);

describe('claims', () => {
  const of = (text: string): number | undefined => claims.find(({ figure }) => figure.includes(text))!.measure(rows);

  test('are ratios, times and memory of the rows that they name', () => {
    expect(of('Vicuna-7B, 16k: bare')).toBe(2);
    expect(of('Vicuna-7B, 16k: generate() over static')).toBeUndefined();
    expect(of('Llama-3-8B, 16k, batch 1')).toBe(6);
    expect(of('first token')).toBe(0.9);
    expect(of('prefill kernels alone')).toBeCloseTo(70 / 68);
    expect(of('peak memory')).toBeCloseTo(69 / 41);
    expect(of('bytes that dense takes more')).toBe(1);
    expect(of('eager decode')).toBe(20);
  });

  test('each has a name of its own and holds on its side', () => {
    expect(new Set(claims.map(({ figure }) => figure)).size).toBe(claims.length);
    for (const claim of claims) {
      const [better, worse] = claim.direction === 'at least' ? [1.1, 0.9] : [0.9, 1.1];
      expect([better, 1, worse].map((part) => holds(claim, part * claim.asked))).toEqual([true, true, false]);
    }
  });
});

test('tables have a dash where nothing was measured, and say why', () => {
  expect(claimTable(rows)).toContain('| Vicuna-7B, 16k: bare loop over cuDNN dense | at least 1.9 x | 2.00 x | holds |');
  expect(claimTable(rows)).toContain('| Llama-3-8B, 16k, batch 1: a step | at most 5.5 ms | 6.00 ms | does not hold |');
  expect(claimTable(rows)).toContain('| Vicuna-7B, 4k: bare loop over cuDNN dense | at least 1.9 x | - |  |');
  expect(speedTable(rows)).toContain('| bare | vicuna-7b | 16384 | most | 720 (14, 0.80 J) | 360 (7) | - |');
  expect(missing(rows)).toEqual(['generate/vicuna-7b/16384/static/most: it took longer than 210 s']);
});

test('the figure is an SVG of what was measured', () => {
  const svg = renderSvg(modelsFigure({ device: 'a GPU', torch: '2', transformers: '5', settings: { gib: 70 }, rows: measured }));
  expect(svg).toContain('ours, bare');
  expect(svg).not.toContain('static cache');
  expect(svg).not.toContain('NaN');
});
