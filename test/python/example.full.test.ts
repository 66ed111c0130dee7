/** The example in Python runs as it is printed, where there is a Python with what it needs. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';
import { scratchFolder } from '../toolchain/helpers.ts';
import { importObstacle, pythonPath, variables } from './support.ts';

const reason = importObstacle(pythonPath, 'torch', 'transformers', 'safetensors');
if (reason !== undefined) console.warn(`SKIPPED: the example in Python; ${reason}`);

/** When a prompt got tokens: runs of steps, with others between them. */
const runsOf = (chart: string): number => chart.match(/#+/g)?.length ?? 0;

test.skipIf(reason !== undefined)(`examples/python/tour.py${reason === undefined ? '' : ` (skipped: ${reason})`}`, { timeout: 300_000 }, () => {
  const TMPDIR = scratchFolder();
  // Without a GPU: what is said of the emulator is tried.
  const { status, stdout, stderr } = spawnSync(pythonPath, [repositoryPath('examples/python/tour.py')], { encoding: 'utf8', env: { ...variables, TMPDIR, CUDA_VISIBLE_DEVICES: '' } });
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  // Near ties are as good: the example says where a token is of another mask.
  expect(stdout).toMatch(/^2[0-4] of 24 tokens are the most likely ones/m);
  expect(stdout).toMatch(/^4\d\d of 480 tokens are the most likely ones/m);
  expect(stdout).toContain('cache: 192 KiB; a dense one takes 400 KiB\n');
  expect(stdout).toContain('4 sequences alone take 48 pages; the pool has 24\n');
  const charts = [...stdout.matchAll(/^prompt \d: ([#.]+)$/gm)].map(([, chart]) => runsOf(chart!));
  expect(charts).toHaveLength(4);
  expect(charts[0]).toBe(1);
  // Somebody was preempted, and went on later.
  expect(Math.max(...charts)).toBeGreaterThan(1);
  expect(stdout).toContain('300 tokens hold 12 pages; three sequences of them 12\n');
  expect(stdout).toContain('lengths [305, 305, 305]\n20 pages are held, 8 of them shared\n');
  expect(readdirSync(TMPDIR).filter((name) => name.startsWith('moa-tour-'))).toEqual([]);
});
