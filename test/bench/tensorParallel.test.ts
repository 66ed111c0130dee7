/** The committed figures of tensor parallelism: what the document shows, and what the compiler does today. */
import { describe, expect, test } from 'vitest';
import { balanceTable, type Row } from '../../bench/tensorParallel/table.ts';
import { inspectRanks } from '../../src/inspectRanks.ts';
import { assignRanks } from '../../src/passes/assignRanks.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { collect, listPublishedPlans, readRepositoryFile } from '../plan/support.ts';

const { rows, balancedLengths } = JSON.parse(readRepositoryFile('bench/results/tensor-parallel.json').toString()) as { rows: readonly Row[]; balancedLengths: readonly number[] };

test('the table of docs/tensor-parallel.md is that of the results', () => {
  const document = readRepositoryFile('docs/tensor-parallel.md').toString();
  expect(document).toContain(`<!-- table: tensor-parallel -->\n${balanceTable(rows, 16384)}\n<!-- /table -->`);
});

const files: Readonly<Record<string, string>> = { 'vicuna-7b': 'lmsys--vicuna-7b-v1.5-16k.json', 'llama-3-8b': 'gradientai--Llama-3-8B-Instruct-262k.json', 'llama-3.2-1b': 'meta-llama--Llama-3.2-1B-Instruct.json' };
const published = listPublishedPlans();

describe.skipIf(published.size === 0)('results (skipped without ../shared/plans)', () => {
  test.each(Object.entries(files))('of %s are what the compiler does today', (name, file) => {
    const config = { text: readRepositoryFile(`examples/${name}/config.json`), file: 'config.json' };
    const { value } = collect((diagnostics) => readPlan({ text: published.get(file)!, file }, config, {}, diagnostics));
    const committed = rows.filter(({ plan }) => plan === name);
    expect(committed.map(({ ranks }) => ranks)).toEqual([2, 4, 8]);
    for (const { ranks, lengths, provenLayers } of committed) {
      const figures = inspectRanks(value!.module, assignRanks(value!.module, ranks), balancedLengths);
      expect({ lengths: figures.lengths, provenLayers: figures.provenLayers }).toEqual({ lengths, provenLayers });
    }
  });
});
