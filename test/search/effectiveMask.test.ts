/** The effective mask of TypeScript against the table that Python's is held to. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { effectiveMask } from '../../src/ir/affine.ts';
import { ruleOf } from '../../src/plan/spanRule.ts';
import { repositoryPath } from '../cli/installed.ts';

interface Row {
  readonly span: number;
  readonly sink: number;
  readonly modelWindow: number | null;
  readonly expected: { readonly sink: number; readonly window: number };
}

const rows = JSON.parse(readFileSync(repositoryPath('python/tests/search/effective_mask.json'), 'utf8')) as readonly Row[];

test('rows are enough to tell masks apart', () => expect(rows.length).toBeGreaterThan(10));

test.each(rows)('span $span, sink $sink, window $modelWindow of the model', ({ span, sink, modelWindow, expected }) => {
  const limits = { sink, page: 64, minSpan: 128 };
  for (const bound of [span, 2 * span]) expect(effectiveMask(ruleOf(span, 0), limits, bound, modelWindow)).toEqual(expected);
});
