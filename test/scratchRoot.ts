/** The folder of a test run, in which its tests make theirs: removed with all that is left in it, whichever way the tests ended. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const VARIABLE = 'MOA_TEST_SCRATCH';

/** Called by vitest before the first test and, as what it returns, after the last. */
export function setup(): () => void {
  const root = mkdtempSync(join(tmpdir(), 'moa-test-'));
  process.env[VARIABLE] = root;
  return () => rmSync(root, { recursive: true, force: true });
}

export const scratchRoot = (): string => process.env[VARIABLE] ?? tmpdir();
