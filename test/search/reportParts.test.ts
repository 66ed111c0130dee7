/** What the report is put together from: numbers, markup, colours, images. */
import { inflateSync } from 'node:zlib';
import { scale } from '@observablehq/plot';
import { expect, test } from 'vitest';
import { formatDifference, formatLength, formatPercent, formatPoints, formatPowerOfTen, formatSeconds, formatTokens, lossFormat } from '../../src/search/report/format.ts';
import { escapeHtml, html } from '../../src/search/report/html.ts';
import { downsample, influenceImage, logScale, positionOf } from '../../src/search/report/influenceMap.ts';
import { hexOf, viridis, viridisStops } from '../../src/search/report/viridis.ts';

const spaced = (text: string): string => text.replaceAll('\u00a0', ' ');

test('numbers', () => {
  expect([0, 0.042, 1, 0.999, 0.0031, 0.00031, 1e-7, 0.00996, Number.NaN].map(formatPercent).map(spaced)).toEqual(['0 %', '4.2 %', '100.0 %', '99.9 %', '0.31 %', '0.031 %', '< 0.0001 %', '1.0 %', '–']);
  expect([64, 512, 1024, 1536, 1600, 131072, 2 ** 20].map(formatLength)).toEqual(['64', '512', '1k', '1.5k', '1,600', '128k', '1M']);
  expect(spaced(formatTokens(131072))).toBe('131,072 tokens');
  expect([0.004, 9.99, 12.34, 59.96, 245, 3599.6, 3720].map(formatSeconds).map(spaced)).toEqual(['0.00 s', '9.99 s', '12.3 s', '1 min 00 s', '4 min 05 s', '1 h 00 min', '1 h 02 min']);
  expect([0.12, -0.008].map(formatPoints).map(spaced)).toEqual(['+12.0 pp', '−0.8 pp']);
  expect(formatDifference(-0.00891, lossFormat([0.1]))).toBe('−0.0089');
  expect(formatPowerOfTen(-12)).toBe('10⁻¹²');
});

test('losses of a column have the same decimals', () => {
  expect([12.3456, 0.5, 0].map(lossFormat([12.3456, 0.5, 0]))).toEqual(['12.346', '0.500', '0']);
  expect([0.001234, 0.00001].map(lossFormat([0.001234, 0.00001]))).toEqual(['0.001234', '0.000010']);
  expect([1e-9].map(lossFormat([1e-9]))).toEqual(['1.000e−9']);
  expect([Number.NaN].map(lossFormat([]))).toEqual(['–']);
});

test('templates escape text and leave markup', () => {
  expect(escapeHtml(`<a href="x">'&\n\u0007`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;\n\ufffd');
  expect(html`<b>${'<'}${html`<i>${1}</i>`}${['&', undefined]}</b>`.html).toBe('<b>&lt;<i>1</i>&amp;</b>');
});

test('the colours are viridis', () => {
  const known = scale({ color: { type: 'linear', scheme: 'viridis', domain: [0, 1] } });
  const last = viridisStops.length - 1;
  expect(viridisStops.map((_, index) => hexOf(viridis(index / last)))).toEqual(viridisStops.map((_, index) => known.apply(index / last)));
  expect([-1, 2].map((share) => hexOf(viridis(share)))).toEqual(['#440154', '#fde725']);
});

test.each([1, 63, 64, 65, 100, 128, 129, 300])('%i pages are drawn with at most 64 cells a side, and nothing is lost', (pages) => {
  const matrix = Array.from({ length: pages }, (_row, query) => Array.from({ length: pages }, (_cell, key) => (key <= query ? 1 : 0)));
  const cells = downsample(matrix);
  expect(cells.length).toBeLessThanOrEqual(64);
  expect(cells.every((row) => row.length === cells.length)).toBe(true);
  expect(cells.flat().reduce((sum, value) => sum + value, 0)).toBe((pages * (pages + 1)) / 2);
});

test('the scale spans what is there, five powers of ten at most', () => {
  expect(logScale([[[1, 0.001]], [[0.1]]])).toEqual({ low: 0.001, high: 1 });
  expect(logScale([[[1, 1e-12]]])).toEqual({ low: 1e-5, high: 1 });
  expect(logScale([[[0]]])).toEqual({ low: 0.1, high: 1 });
  expect([0, 0.01, 0.1, 1, 2].map((value) => positionOf({ low: 0.01, high: 1 }, value))).toEqual([0, 0, 0.5, 1, 1]);
});

test('an image is a PNG: transparent above the diagonal, colours below', () => {
  const uri = influenceImage([[1, 0, 0], [0.1, 1, 0], [0, 0.01, 1]], { low: 0.01, high: 1 });
  const file = Buffer.from(uri.replace('data:image/png;base64,', ''), 'base64');
  expect(file.subarray(1, 4).toString()).toBe('PNG');
  expect([file.readUInt32BE(16), file.readUInt32BE(20)]).toEqual([3, 3]);
  const data = file.indexOf('IDAT');
  const rows = inflateSync(file.subarray(data + 4, data + 4 + file.readUInt32BE(data - 4)));
  expect([...rows]).toEqual([0, 255, 0, 0, 0, 128, 255, 0, 0, 1, 1, 255]);
});
