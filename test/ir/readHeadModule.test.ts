import fc from 'fast-check';
import { expect, test } from 'vitest';
import { printRule } from '../../src/ir/affine.ts';
import { printModule, ranges } from '../../src/ir/print.ts';
import { arbitraryRule } from '../passes/arbitraryModule.ts';
import { parseRule, readHeadModule } from './readHeadModule.ts';

test('parseRule reads what printRule writes', () => {
  fc.assert(fc.property(arbitraryRule, (rule) => void expect(parseRule(printRule(rule))).toEqual(rule)), { numRuns: 1000 });
});

test('a module is read with limits, repeated heads and repeated layers', () => {
  const module = readHeadModule(['shape layers=3 queryHeads=4 kvHeads=2 headDim=64', 'limits sink=32 minSpan=192 page=64', 'layer 0..1: 2 x N | 256 | N', 'layer 2: 4 x 3072 + 3/8*N'].join('\n'));
  expect(module.limits).toEqual({ sink: 32, minSpan: 192, page: 64 });
  expect(module.layers[1]!.heads[2]!.origin).toEqual({ path: 'alphas[1][2]' });
  expect(module.layers[0]!.heads[0]!.rule, 'equal rules are one object').toBe(module.layers[1]!.heads[3]!.rule);
  expect(printModule(module)).toBe(
    [
      'headModule {',
      '  shape layers=3 queryHeads=4 kvHeads=2 headDim=64',
      '  limits sink=32 minSpan=192 page=64',
      '  layer 0..1 {',
      '    heads 0..1 3: N',
      '    heads 2: 256',
      '  }',
      '  layer 2 {',
      '    heads 0..3: 3072 + 3/8*N',
      '  }',
      '}',
      '',
    ].join('\n'),
  );
});

test('windows of the model are read and printed', () => {
  const module = readHeadModule('shape layers=3 queryHeads=1 kvHeads=1 headDim=64\nlayer 0..1, model window 128: N\nlayer 2: N');
  expect(module.layers.map(({ modelWindow }) => modelWindow)).toEqual([128, 128, null]);
  expect(printModule(module)).toContain('  layer 0..1 {\n    model window 128\n    heads 0: N\n  }\n  layer 2 {\n    heads 0: N\n  }\n');
});

test.each([
  ['layer 0: N', 'has a line'],
  ['shape layers=1 queryHeads=2 kvHeads=1 headDim=64\nlayer 0: N', 'layer 0 has 1 rules for 2 query heads'],
  ['shape layers=1 queryHeads=1 kvHeads=1 headDim=64\nlayer 0: N\nlayer 1: N', '2 layers are given'],
  ['shape layers=1 queryHeads=1 headDim=64 kvHeads=1\nlayer 0: N', 'expected layers, queryHeads'],
  ['shape layers=1 queryHeads=1 kvHeads=1 headDim=64\nlayer 0: 2N', 'not a rule: 2N'],
  ['heads 3', 'not a line of a HeadModule'],
])('a fixture with a mistake is rejected: %j', (text, message) => {
  expect(() => readHeadModule(text)).toThrow(message);
});

test('ranges', () => {
  expect(ranges([0, 1, 2, 5, 7, 8])).toBe('0..2 5 7..8');
  expect(ranges([])).toBe('');
  expect(ranges([3])).toBe('3');
});
