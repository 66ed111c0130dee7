/** Lists the kernels of the published plans whose present source no GPU run has vouched for. A list, not a failure: GPUs are not always at hand. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { findArchitecture } from '../../src/arch/registry.ts';
import { compile } from '../../src/compile.ts';
import { sourceHash } from '../../src/emit/sourceHash.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { publishedFor } from '../plan/support.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const plans = join(root, '../shared/plans');
const models = Object.fromEntries(publishedFor);

interface Receipt {
  readonly device: string;
  readonly kernels: Readonly<Record<string, { readonly source: string }>>;
}

function readReceipts(): Receipt[] {
  const folder = join(root, 'bench/receipts');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Receipt);
}

test.skipIf(!existsSync(plans))('kernels without a receipt are listed (skipped where the folder of published plans is missing)', () => {
  const receipts = readReceipts();
  const missing: string[] = [];
  for (const [model, file] of Object.entries(models)) {
    const diagnostics = new DiagnosticList();
    const config = { text: readFileSync(join(root, 'examples', model, 'config.json')), file: 'config.json' };
    const options = { architectures: [findArchitecture('sm_90')!], elementTypes: ['bf16'] as const };
    const compiled = compile({ text: readFileSync(join(plans, file)), file }, config, options, diagnostics);
    expect(diagnostics.hasErrors).toBe(false);
    for (const { name } of compiled!.module.kernels) {
      const hash = sourceHash(compiled!.sources, name);
      if (!receipts.some((receipt) => receipt.kernels[name]?.source === hash)) missing.push(name);
    }
  }
  if (missing.length > 0) console.log(`no GPU run has vouched for the present source of:\n  ${[...new Set(missing)].join('\n  ')}`);
  expect(receipts.every((receipt) => receipt.device !== '')).toBe(true);
});
