/** The example in Python runs as it is printed, where there is a Python with what it needs. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';
import { scratchFolder } from '../toolchain/helpers.ts';
import { importObstacle, pythonPath, variables } from './support.ts';

const reason = importObstacle(pythonPath, 'torch', 'transformers', 'safetensors');
if (reason !== undefined) console.warn(`SKIPPED: the example in Python; ${reason}`);

test.skipIf(reason !== undefined)(`examples/python/tour.py${reason === undefined ? '' : ` (skipped: ${reason})`}`, { timeout: 300_000 }, () => {
  const TMPDIR = mkdtempSync(join(scratchFolder(), 'tour-'));
  // Without a GPU: what is said of the emulator is tried.
  const { status, stdout, stderr } = spawnSync(pythonPath, [repositoryPath('examples/python/tour.py')], { encoding: 'utf8', env: { ...variables, TMPDIR, CUDA_VISIBLE_DEVICES: '' } });
  expect(status, stderr).toBe(0);
  expect(stdout).toContain('24 of 24 tokens are the most likely ones under the mask of the plan');
  expect(stdout.match(/^prompt \d: b/gm)).toHaveLength(5);
  expect(stdout).toContain('300 tokens hold 12 pages; three sequences of them 12');
  expect(stdout).toContain('lengths [305, 305, 305]\n20 pages are held, 8 of them shared\n');
  expect(readdirSync(TMPDIR).filter((name) => name.startsWith('moa-tour-'))).toEqual([]);
});
