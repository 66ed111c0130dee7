import { describe, expect, it } from 'vitest';
import { buildModule } from '../../src/plan/buildModule.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { collect } from './support.ts';

const parse = (text: string | Uint8Array) => collect((diagnostics) => parsePlan(text, 'p.json', diagnostics));
const plain = '"alphas": [[0]], "betas": [[0.5]]';
const MiB = 1024 * 1024;

/** Texts that break naive readers: what they are, the text, the code they get. */
const hostile: readonly (readonly [string, string | Uint8Array, string])[] = [
  ['a number that JSON.parse makes Infinity', '{"alphas": [[1e999]], "betas": [[0.5]]}', 'MOA1015'],
  ['an integer beyond 2^53', '{"alphas": [[9007199254740993]], "betas": [[0.5]]}', 'MOA1110'],
  ['a duplicate key', `{${plain}, "betas": [[1]]}`, 'MOA1013'],
  ['a duplicate key, escaped', `{${plain}, "b\\u0065tas": [[1]]}`, 'MOA1013'],
  ['a byte order mark', Buffer.from(`\ufeff{${plain}}`), 'MOA1011'],
  ['NaN', '{"alphas": [[NaN]], "betas": [[0.5]]}', 'MOA1012'],
  ['__proto__', `{${plain}, "__proto__": {"layers": 1}}`, 'MOA1014'],
  ['__proto__, escaped', `{${plain}, "\\u005f_proto__": 1}`, 'MOA1014'],
  ['constructor.prototype', `{${plain}, "constructor": {"prototype": {"x": 1}}}`, 'MOA1014'],
  ['__proto__ in a carried object', `{"format": "moa-plan", "version": 1, "evidence": {"__proto__": 1}, ${plain}}`, 'MOA1014'],
  ['names of Object.prototype', `{${plain}, "toString": 1, "hasOwnProperty": 2}`, 'MOA1102'],
  ['4 million open arrays', '['.repeat(4e6), 'MOA1016'],
  ['nested arrays in a row', `{"alphas": ${'['.repeat(1e6)}${']'.repeat(1e6)}, "betas": [[0]]}`, 'MOA1016'],
  ['1.3 million empty arrays', `[${'[],'.repeat(1.3e6)}[]]`, 'MOA1017'],
  ['a million empty rows', `{"alphas": [${'[],'.repeat(1e6)}[]], "betas": [[0]]}`, 'MOA1108'],
  ['a row of a million heads', `{"alphas": [[${'0,'.repeat(1e6)}0]], "betas": [[0]]}`, 'MOA1109'],
  ['more than 4 MiB', `{${plain}}${' '.repeat(4 * MiB)}`, 'MOA1004'],
  ['more than 4 MiB of bytes', new Uint8Array(100 * MiB), 'MOA1004'],
  ['half a million wrong numbers', `{"alphas": [${Array.from({ length: 700 }, () => `[${'0.5,'.repeat(699)}0.5]`).join()}], "betas": [[0]]}`, 'MOA1110'],
  ['600,000 duplicate keys', `{${'"a":0,'.repeat(6e5)}"a":0}`, 'MOA1013'],
  ['200,000 unknown keys', `{${Array.from({ length: 2e5 }, (_, i) => `"alph${i}":0`).join()}}`, 'MOA1102'],
  ['a number of 4 million digits', `{"alphas": [[${'9'.repeat(4e6)}]], "betas": [[0]]}`, 'MOA1015'],
  ['a fraction of 4 million digits', `{"alphas": [[0.${'3'.repeat(4e6)}]], "betas": [[0]]}`, 'MOA1110'],
  ['a key of 4 million units', `{"${'k'.repeat(4e6)}": 0, ${plain}}`, 'MOA1102'],
  ['2 million escapes', `{"${'\\n'.repeat(2e6)}": 0, ${plain}}`, 'MOA1102'],
  ['35,000 different rules', JSON.stringify({ alphas: Array.from({ length: 50 }, (_, i) => Array.from({ length: 700 }, (_, j) => i * 700 + j)), betas: Array.from({ length: 50 }, () => Array(700).fill(Math.PI / 4)) }), 'MOA1113'],
  ['a name that ends a comment', `{"format": "moa-plan", "version": 1, "model": {"name": "x*/", "layers": 1, "queryHeads": 1, "kvHeads": 1, "headDim": 64}, ${plain}}`, 'MOA1117'],
  ['a name that continues a line', `{"format": "moa-plan", "version": 1, "model": {"name": "x\\\\", "layers": 1, "queryHeads": 1, "kvHeads": 1, "headDim": 64}, ${plain}}`, 'MOA1117'],
  ['terminal escapes', `{"\\u001b[2J\\u009b31m\\u202e": 0, ${plain}}`, 'MOA1102'],
  ['a NUL', `{${plain}}\0`, 'MOA1012'],
  ['a lone surrogate', `{"\\ud800": 0, ${plain}}`, 'MOA1102'],
  ['UTF-16', Buffer.from(`\ufeff{${plain}}`, 'utf16le'), 'MOA1010'],
  ['random bytes', Uint8Array.from({ length: 4096 }, (_, i) => (i * 167 + 13) % 256), 'MOA1010'],
];

describe('hostile plans', () => {
  it.each(hostile)('%s', (_, text, code) => {
    const start = performance.now();
    const { value, codes, text: messages } = parse(text);
    expect(performance.now() - start).toBeLessThan(5000);
    expect(value).toBeUndefined();
    expect(codes).toContain(code);
    expect(messages).toMatch(/^[\x20-\x7e\n]*$/);
    for (const line of messages.split('\n')) expect(line.length).toBeLessThan(300);
  });

  it('changes no prototype', () => {
    parse('{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}}');
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });
});

describe('speed', () => {
  it('reads a pretty-printed plan of 80 x 64 well within its budget', () => {
    const matrix = (value: (i: number, j: number) => number) => Array.from({ length: 80 }, (_, i) => Array.from({ length: 64 }, (_, j) => value(i, j)));
    const plan = { alphas: matrix((i, j) => (((i * j) % 9) - 1) * 1024), betas: matrix((i, j) => ((i + j) % 9) / 8) };
    const bytes = Buffer.from(JSON.stringify(plan, null, 4));
    const times = Array.from({ length: 7 }, () => {
      const start = performance.now();
      const { value } = parse(bytes);
      buildModule(value!, { layers: 80, queryHeads: 64, kvHeads: 8, headDim: 128 });
      return performance.now() - start;
    });
    expect(Math.min(...times)).toBeLessThan(60);
  });
});
