import { describe, expect, test } from 'vitest';
import { escapeXml, renderSvg, type Figure } from '../../bench/plot/svg.ts';
import { positionOf, ticksOf } from '../../bench/plot/ticks.ts';

describe('ticks', () => {
  test.each([
    [[0.3, 4.4], [0, 1, 2, 3, 4, 5]],
    [[0.05], [0, 0.01, 0.02, 0.03, 0.04, 0.05]],
    [[7], [0, 1, 2, 3, 4, 5, 6, 7]],
    [[950, 3], [0, 200, 400, 600, 800, 1000]],
    [[], [0, 1]],
    [[0], [0, 1]],
  ])('of a linear axis over %j', (values, expected) => expect(ticksOf('linear', values)).toEqual(expected));

  test.each([
    [[1, 64], [1, 2, 4, 8, 16, 32, 64]],
    [[4096, 32768], [4096, 8192, 16384, 32768]],
    [[3, 5], [2, 4, 8]],
    [[8], [8, 16]],
    [[], [1, 2]],
  ])('of powers of 2 over %j', (values, expected) => expect(ticksOf('log2', values)).toEqual(expected));

  test.each([
    [[12, 900], [10, 20, 50, 100, 200, 500, 1000]],
    [[0.3, 1], [0.2, 0.5, 1]],
    [[1000], [1000, 2000]],
  ])('of decades over %j', (values, expected) => expect(ticksOf('log10', values)).toEqual(expected));

  test('enclose all values on every scale', () => {
    for (const scale of ['linear', 'log2', 'log10'] as const) {
      for (let low = 1e-3; low < 1e6; low *= 1.7) {
        for (const factor of [1, 1.01, 3, 50, 4096]) {
          const ticks = ticksOf(scale, [low, low * factor]);
          expect(ticks.length).toBeGreaterThan(1);
          for (const value of [low, low * factor]) {
            const position = positionOf(scale, ticks, value);
            expect(position, `${value} on ${scale}`).toBeGreaterThanOrEqual(-1e-6);
            expect(position, `${value} on ${scale}`).toBeLessThanOrEqual(1 + 1e-6);
          }
        }
      }
    }
  });

  test('are evenly spaced where the scale says so', () => {
    expect([1, 2, 4, 8].map((value) => positionOf('log2', [1, 2, 4, 8], value))).toEqual([0, 1 / 3, 2 / 3, 1]);
    expect(positionOf('linear', [0, 5, 10], 2.5)).toBe(0.25);
  });
});

const figure: Figure = {
  title: 'a < b & "c"',
  notes: ["it's <script>alert(1)</script>"],
  panels: [
    {
      title: 'p]]>',
      x: { label: 'batch', scale: 'log2' },
      y: { label: '<TB/s>', scale: 'linear', format: (value) => `${value} & more` },
      lines: [
        { colour: '#0072b2', marker: 'circle', points: [[1, 1.5], [2, 3], [4, 4.25]] },
        { colour: '#d55e00', dash: 'dashed', marker: 'square', points: [[2, 2]] },
      ],
      limit: { colour: '#777777', dash: 'dotted', y: 4.4 },
    },
    { title: 'empty', x: { label: 'N', scale: 'log2' }, y: { label: 'us', scale: 'log10' }, lines: [] },
  ],
  legend: [{ label: 'ours <sm>', colour: '#0072b2', marker: 'diamond' }],
};

describe('svg', () => {
  const svg = renderSvg(figure);

  test('equal figures give equal bytes', () => expect(renderSvg(structuredClone({ ...figure, panels: [figure.panels[1]!] }))).toBe(renderSvg({ ...figure, panels: [figure.panels[1]!] })));

  test('text is escaped everywhere', () => {
    expect(svg).not.toMatch(/<script|& |<TB|<sm>/);
    for (const text of ['a &lt; b &amp; &quot;c&quot;', '&#39;s &lt;script&gt;', 'p]]&gt;', '&lt;TB/s&gt;', '0 &amp; more', 'ours &lt;sm&gt;']) expect(svg).toContain(text);
    expect(escapeXml('a\u0000\u001bb\n')).toBe('ab\n');
  });

  test('is well formed: every element is closed, in order', () => {
    const open: string[] = [];
    for (const [, close, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
      if (close === '/') expect(open.pop()).toBe(name);
      else if (self !== '/') open.push(name!);
    }
    expect(open).toEqual([]);
  });

  test('numbers are finite and short', () => {
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(svg).not.toMatch(/\.\d\d/);
  });

  test('points lie where the ticks say', () => {
    // Batch 2 of 1 .. 4 is in the middle; 3 of 0 .. 5 TB/s is three fifths up.
    const [, x, y] = /<path d="M\S+ \S+L(\S+) (\S+)L/.exec(svg)!;
    const axis = /<path d="M(\S+) (\d+)V(\d+)H(\d+)"/.exec(svg)!.slice(1).map(Number) as [number, number, number, number];
    const [left, top, bottom, right] = axis;
    expect(Number(x)).toBeCloseTo((left + right) / 2, 1);
    expect(Number(y)).toBeCloseTo(bottom - (3 / 5) * (bottom - top), 1);
  });

  test('a panel without points says so, and a single point has no line', () => {
    expect(svg).toContain('>no data<');
    expect(svg.match(/stroke-dasharray="6 4"/g)).toBeNull();
  });
});
