import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { timeOf as checkedTimeOf } from '../../src/search/check/latencyTimes.ts';
import { FieldReader } from '../../src/search/fields.ts';
import { readLatencyTable, timeOf, type LatencyTable } from '../../src/search/latencyTable.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import type { JsonValue } from '../../src/util/jsonReader.ts';
import { said } from './support.ts';

const row = { length: 512, spans: [128, 192, 512], times: [1, 2, 10] };
const table = { format: 'moa-latency', version: 1, device: 'a GPU', phase: 'decode', unit: 'us', headDim: 64, groupSize: 2, command: 'measure', lengths: [row, { length: 64, spans: [64], times: [0] }] };

function read(value: unknown, path = ''): { table: LatencyTable | undefined; problems: string[]; places: (string | undefined)[] } {
  const diagnostics = new DiagnosticList();
  const found = readLatencyTable(new FieldReader('table.json', { key: 'MOA7203', value: 'MOA7204', format: 'MOA7202' }, diagnostics), value as JsonValue, path);
  return { table: found, problems: said(diagnostics), places: diagnostics.toArray().map((diagnostic) => diagnostic.path) };
}

test('a table is read, and kept as it was written', () => {
  const { table: found, problems } = read(table);
  expect(problems).toEqual([]);
  expect(found).toEqual({ device: 'a GPU', phase: 'decode', headDim: 64, groupSize: 2, lengths: table.lengths, source: table });
  expect(found!.source).toBe(table);
});

test('times are those of the table, and on a line between', () => {
  expect([128, 160, 192, 352, 512].map((span) => timeOf(row, span))).toEqual([1, 1.5, 2, 6, 10]);
  const rows = fc.uniqueArray(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 12 }).chain((pages) => {
    const spans = pages.sort((a, b) => a - b).map((page) => 64 * page);
    return fc.record({ length: fc.constant(spans.at(-1)!), spans: fc.constant(spans), times: fc.array(fc.double({ min: 0, max: 1e4, noNaN: true }), { minLength: spans.length, maxLength: spans.length }) });
  });
  fc.assert(
    fc.property(rows, fc.double({ min: 0, max: 1, noNaN: true }), (any, part) => {
      const span = Math.round(any.spans[0]! + part * (any.length - any.spans[0]!));
      const expected = checkedTimeOf({ ...read(table).table!, lengths: [any] }, any.length, span);
      expect(Math.abs(timeOf(any, span) - expected)).toBeLessThanOrEqual(1e-9 * Math.max(...any.times));
    }),
  );
});

const withRow = (change: object): object => ({ ...table, lengths: [{ ...row, ...change }] });

describe('what is no table', () => {
  const cases: readonly (readonly [name: string, value: unknown, place: string, problem: string])[] = [
    ['a number', 5, '', 'MOA7204: expected an object, found 5'],
    ['another format', { ...table, format: 'moa-profile' }, 'format', 'MOA7202: unknown format "moa-profile"'],
    ['another version', { ...table, version: 2 }, 'version', 'MOA7202: unknown version 2'],
    ['another phase', { ...table, phase: 'training' }, 'phase', 'MOA7204: "training" is none of "decode", "prefill"'],
    ['another unit', { ...table, unit: 's' }, 'unit', 'MOA7204: "s" is none of "us", "ms"'],
    ['no line of text', { ...table, device: 'a\nb' }, 'device', 'MOA7204: "a\\nb" is not a line of printable characters'],
    ['half a dimension', { ...table, headDim: 0.5 }, 'headDim', 'MOA7204: expected an integer, found 0.5'],
    ['no length', { ...table, lengths: [] }, 'lengths', 'MOA7204: 0 items; there have to be 1 to 64'],
    ['fewer times than spans', withRow({ times: [1, 2] }), 'lengths[0].times', 'MOA7204: 2 times for 3 spans'],
    ['spans that fall', withRow({ spans: [192, 128, 512] }), 'lengths[0].spans', 'MOA7204: the spans do not rise'],
    ['a span twice', withRow({ spans: [128, 128, 512] }), 'lengths[0].spans', 'MOA7204: the spans do not rise'],
    ['spans that end early', withRow({ spans: [128, 192, 448] }), 'lengths[0].spans', 'MOA7204: the last span is 448, not the length, 512'],
    ['a negative time', withRow({ times: [1, -2, 3] }), 'lengths[0].times[1]', 'MOA7204: -2 is not from 0'],
    ['a span of nothing', withRow({ spans: [0, 192, 512] }), 'lengths[0].spans[0]', 'MOA7204: 0 is not from 1'],
    ['a time in words', withRow({ times: [1, 'two', 3] }), 'lengths[0].times[1]', 'MOA7204: expected a number, found "two"'],
    ...Object.keys(table).filter((key) => key !== 'format' && key !== 'version').map((key) => [`no ${key}`, Object.fromEntries(Object.entries(table).filter(([name]) => name !== key)), '', `MOA7203: the key "${key}" is missing`] as const),
    ...Object.keys(row).map((key) => [`no ${key} of a length`, { ...table, lengths: [Object.fromEntries(Object.entries(row).filter(([name]) => name !== key))] }, 'lengths[0]', `MOA7203: the key "${key}" is missing`] as const),
  ];
  test.each(cases)('%s', (_, value, place, problem) => {
    const { table: found, problems, places } = read(value);
    expect(found).toBeUndefined();
    expect(problems[0]!.startsWith(problem), problems.join('\n')).toBe(true);
    expect(places[0] ?? '').toBe(place);
  });

  test('inside a plan, places begin there', () => {
    expect(read(withRow({ times: [1, 2] }), 'certificate.constraints[1].table').places).toEqual(['certificate.constraints[1].table.lengths[0].times']);
  });
});
