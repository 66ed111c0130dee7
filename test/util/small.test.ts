import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { environment } from '../../src/util/debug.ts';
import { DiagnosticList, formatDiagnostic, type Diagnostic } from '../../src/util/diagnostics.ts';
import { didYouMean } from '../../src/util/didYouMean.ts';
import { joinPath, quote } from '../../src/util/quote.ts';
import { stableJson } from '../../src/util/stableJson.ts';

describe('quote', () => {
  it('cuts and escapes', () => {
    expect(quote('a"b\\')).toBe('"a\\"b\\\\"');
    expect(quote('\u001b[31m\u009b\u202e\u2028\ud83d')).toBe('"\\u001b[31m\\u009b\\u202e\\u2028\\ud83d"');
    expect(quote('x'.repeat(41))).toBe(`"${'x'.repeat(40)}..."`);
  });

  it('gives one line of printable ASCII', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => /^"[\x20-\x7e]*"$/.test(quote(text))));
  });

  it('joins paths', () => {
    expect(joinPath(joinPath(joinPath('', 'model'), 'alphas'), 3)).toBe('model.alphas[3]');
    expect(joinPath('a', 'b c')).toBe('a["b c"]');
  });
});

describe('didYouMean', () => {
  const keys = ['alphas', 'betas', 'kvHeads', 'queryHeads', 'page'];
  it.each([
    ['alpha', 'alphas'],
    ['kv_heads', 'kvHeads'],
    ['QUERY-HEADS', 'queryHeads'],
    ['bteas', 'betas'],
    ['pge', 'page'],
    ['', undefined],
    ['x', undefined],
    ['gamma', undefined],
    ['alphas'.repeat(100), undefined],
  ])('%s -> %s', (word, meant) => expect(didYouMean(word, keys)).toBe(meant));
});

describe('stableJson', () => {
  it('sorts keys and keeps plain rows on a line', () => {
    const value = { b: [[1, -0], ['x', null]], a: { z: true, y: undefined }, A: [], c: {} };
    expect(stableJson(value)).toBe('{\n  "A": [],\n  "a": {\n    "z": true\n  },\n  "b": [\n    [1, 0],\n    ["x", null]\n  ],\n  "c": {}\n}\n');
  });

  it('gives the same text whatever the order of keys, and loses nothing', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), (value) => {
        const plain: unknown = JSON.parse(JSON.stringify(value));
        const reversed = Object.fromEntries(Object.entries(value).reverse());
        expect(stableJson(reversed)).toBe(stableJson(value));
        expect(JSON.parse(stableJson(value))).toEqual(plain);
      }),
    );
  });

  it('refuses what JSON cannot hold', () => {
    const cycle: unknown[] = [[]];
    cycle.push(cycle);
    for (const bad of [Number.NaN, [Infinity], 1n, () => 0, new Map(), [undefined], undefined, cycle]) expect(() => stableJson(bad)).toThrow('internal error: stableJson');
  });
});

describe('environment', () => {
  it('reads what is set', () => {
    expect(
      environment({ MOA_DEBUG: '4', CUDA_PATH: '/b', PATH: '/bin', TORCH_CUDA_ARCH_LIST: '8.0', NO_COLOR: '1', XDG_CACHE_HOME: '/c', HOME: '/h', CI: 'true' }),
    ).toEqual({ debugLevel: 4, cudaHome: '/b', path: '/bin', torchCudaArchList: '8.0', noColor: true, xdgCacheHome: '/c', home: '/h', ci: true });
    expect(environment({ CUDA_HOME: '/a', CUDA_PATH: '/b' }).cudaHome).toBe('/a');
  });

  it('takes empty and senseless values as unset', () => {
    const unset = { debugLevel: 0, noColor: false, ci: false };
    expect(environment({})).toMatchObject(unset);
    expect(environment({ MOA_DEBUG: '', NO_COLOR: '', CI: 'false', XDG_CACHE_HOME: 'relative', CUDA_HOME: '' })).toEqual({ ...environment({}) });
    for (const level of ['0', '6', '-1', '1.5', 'yes', '1 ']) expect(environment({ MOA_DEBUG: level }).debugLevel).toBe(0);
  });
});

describe('DiagnosticList', () => {
  const error = (message: string): Diagnostic => ({ code: 'MOA1012', severity: 'error', message });

  it('keeps the first 100 and counts the rest', () => {
    const list = new DiagnosticList();
    for (let i = 0; i < 103; i += 1) list.add(error(`e${i}`));
    expect(list.errorCount).toBe(103);
    expect(list.toArray()).toHaveLength(101);
    expect(list.toArray().at(-1)).toEqual({ code: 'MOA1000', severity: 'note', message: '3 more problems are not shown' });
  });

  it('does not let warnings hide an error', () => {
    const list = new DiagnosticList(2);
    for (let i = 0; i < 3; i += 1) list.add({ code: 'MOA1112', severity: 'warning', message: `w${i}` });
    list.add(error('e'));
    expect(list.toArray().map(({ message }) => message)).toEqual(['w0', 'w1', 'e', '1 more problem is not shown']);
  });

  it('formats all parts', () => {
    const location = { file: 'plan.json', line: 3, column: 14 };
    const related = [{ message: 'model.layers is 2', location: { file: 'c.json', line: 1, column: 2 } }];
    expect(formatDiagnostic({ ...error('no'), location, path: 'alphas[3]', help: 'do', related })).toBe(
      'plan.json:3:14: error MOA1012: no (at alphas[3])\n    see c.json:1:2: model.layers is 2\n    help: do',
    );
  });
});
