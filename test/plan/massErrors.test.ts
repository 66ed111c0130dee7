/**
 * A mistake that makes a thousand numbers wrong is said once, with the guess; other errors of one
 * kind are a few lines and a count.
 */
import { describe, expect, test } from 'vitest';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { SourceText } from '../../src/util/sourceText.ts';
import { readTable } from '../../src/plan/formats/readTable.ts';
import { Report } from '../../src/plan/report.ts';
import { DiagnosticList, formatDiagnostic, type Diagnostic } from '../../src/util/diagnostics.ts';

type Fill = (layer: number, head: number) => unknown;
const matrix = (layers: number, heads: number, fill: Fill): unknown[][] =>
  Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: heads }, (_head, head) => fill(layer, head)),
  );
const cycle =
  (...values: readonly unknown[]): Fill =>
  (layer, head) =>
    values[(layer + head) % values.length];

function errorsOf(alphas: unknown, betas: unknown): readonly Diagnostic[] {
  const diagnostics = new DiagnosticList();
  expect(parsePlan(JSON.stringify({ alphas, betas }), 'plan.json', diagnostics)).toBeUndefined();
  return diagnostics.toArray();
}

const sizes = [
  [32, 32],
  [1, 2],
] as const;
const guesses: readonly (readonly [string, Fill, Fill, string, string])[] = [
  ['percent', cycle(0), cycle(50, 25, 12.5, 100), 'MOA1111', 'betas look like percent'],
  [
    'percent, beside alphas of tokens',
    cycle(0, -512, 4096),
    cycle(0, 100, 50),
    'MOA1111',
    'betas look like percent',
  ],
  [
    'percent, of alphas 0 and whole numbers',
    cycle(0),
    cycle(50, 100),
    'MOA1111',
    'betas look like percent',
  ],
  ['swapped', cycle(0.5, 0, 1), cycle(1024, -512, 0), 'MOA1110', 'look swapped'],
  ['swapped, of betas 0 and 1', cycle(0, 1), cycle(4096, 0), 'MOA1111', 'look swapped'],
  ['swapped, of small alphas', cycle(0.25), cycle(64, 0), 'MOA1110', 'look swapped'],
  ['swapped, of negative alphas', cycle(1, 0), cycle(-64, 0), 'MOA1111', 'look swapped'],
  ['fractions as alphas', cycle(0.5, 0.25), cycle(0.5, 0), 'MOA1110', 'alphas look like fractions'],
  [
    'pages as alphas',
    cycle(2.5, 16.25),
    cycle(0, 0.5),
    'MOA1110',
    'alphas look like pages of 64 tokens',
  ],
];

describe.each(sizes)('%i layers of %i heads', (layers, heads) => {
  test.each(guesses)(
    '%s: one error, with the guess, the first place and the count',
    (_, alphas, betas, code, guess) => {
      const errors = errorsOf(matrix(layers, heads, alphas), matrix(layers, heads, betas));
      expect(errors.map((error) => error.code)).toEqual([code]);
      expect(errors[0]!.help).toContain(guess);
      expect(errors[0]!.path).toMatch(/^(alphas|betas)\[0\]\[[01]\]$/);
      expect(errors[0]!.message).toMatch(/^(alpha|beta) -?[\d.]+ is not (an integer|from 0 to 1)/);
      if (layers > 1)
        expect(errors[0]!.message).toMatch(
          /, and \d+ more of the \d+ (alphas|betas|alphas and betas) are wrong$/,
        );
    },
  );
});

test('the count is that of the wrong numbers', () => {
  expect(
    errorsOf(
      matrix(32, 32, cycle(0)),
      matrix(32, 32, () => 50),
    )[0]!.message,
  ).toBe('beta 50 is not from 0 to 1, and 1023 more of the 1024 betas are wrong');
});

test('one number is no pattern', () => {
  const betas = matrix(4, 4, cycle(0.5));
  betas[1]![2] = 1.5;
  const [error, ...more] = errorsOf(matrix(4, 4, cycle(0)), betas);
  expect(more).toEqual([]);
  expect(error).toMatchObject({
    message: 'beta 1.5 is not from 0 to 1',
    path: 'betas[1][2]',
    help: 'beta is the part of the sequence that a head keeps',
  });
});

test('what is wrong besides is said too', () => {
  const betas = matrix(4, 4, cycle(50));
  betas[3]![1] = null;
  expect(errorsOf(matrix(4, 4, cycle(0)), betas).map(({ code }) => code)).toEqual([
    'MOA1111',
    'MOA1104',
  ]);
});

const kinds: readonly (readonly [string, Fill, Fill, string])[] = [
  ['not integers', cycle(1.3), cycle(0), 'MOA1110'],
  ['out of range', cycle(1e9), cycle(0), 'MOA1110'],
  ['negative betas', cycle(0), cycle(-0.5), 'MOA1111'],
  ['betas above 100', cycle(64), cycle(1e4), 'MOA1111'],
  ['numbers in quotes', cycle(0), cycle('0.5'), 'MOA1104'],
  ['nulls', cycle(null), cycle(0), 'MOA1104'],
];

test.each(kinds)('%s: three, and how many more', (_, alphas, betas, code) => {
  const errors = errorsOf(matrix(16, 16, alphas), matrix(16, 16, betas));
  expect(errors.map((error) => error.code)).toEqual([code, code, code, code]);
  expect(errors[3]!.message).toMatch(
    /^and 253 more like it, the last at (alphas|betas)\[15\]\[15\]$/,
  );
});

test('rows of other lengths: three, and how many more', () => {
  const ragged = matrix(40, 8, cycle(0)).map((row, layer) =>
    layer % 4 === 0 ? row.slice(1) : row,
  );
  const errors = errorsOf(ragged, matrix(40, 8, cycle(0.5)));
  expect(errors.map(({ code }) => code)).toEqual(['MOA1107', 'MOA1107', 'MOA1107', 'MOA1107']);
  expect(errors[3]!.message).toBe('and 7 more like it, the last at alphas[36]');
});

test('betas transposed: one error', () => {
  const [error, ...more] = errorsOf(matrix(32, 8, cycle(64)), matrix(8, 32, cycle(0.5)));
  expect(more).toEqual([]);
  expect(error).toMatchObject({
    code: 'MOA1108',
    message: 'betas has 8 layers of 32 query heads, alphas has 32 of 8',
    help: expect.stringContaining('looks transposed'),
  });
});

test('a file that is no plan: a few of its keys, and what is misspelt', () => {
  const diagnostics = new DiagnosticList();
  const keys = Object.fromEntries(
    Array.from({ length: 50 }, (_, index) => [`token_${index}`, index]),
  );
  parsePlan(JSON.stringify({ ...keys, alfas: [[0]], betas: [[0]] }), 'tokenizer.json', diagnostics);
  const text = diagnostics.toArray().map(formatDiagnostic);
  expect(text.filter((line) => line.includes('unknown key'))).toHaveLength(5);
  expect(text.join('\n')).toContain('did you mean "alphas"?');
  expect(text.join('\n')).toContain('and 47 more unknown keys');
});

test.each([
  ['commas', ','],
  ['semicolons', '; '],
  ['spaces', ' '],
])('scores separated by %s: a few lines, with the guess', (name, separator) => {
  const diagnostics = new DiagnosticList();
  const source = new SourceText(
    'scores.tsv',
    Array.from({ length: 32 }, () => ['0.5', '1', '0.25'].join(separator)).join('\n'),
  );
  expect(readTable(source, new Report({ source }, diagnostics))).toBeUndefined();
  expect(diagnostics.errorCount).toBe(4);
  expect(diagnostics.toArray()[0]!.help).toBe(
    `the numbers look separated by ${name}: separate them by tabs`,
  );
});
