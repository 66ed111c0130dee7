/** The folder of a test run, in which its tests make theirs: removed with all that is left in it, whichever way the tests ended. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const VARIABLE = 'MOA_TEST_SCRATCH';

/** Called by vitest before the first test and, as what it returns, after the last. */
export function setup(): () => void {
  const root = mkdtempSync(join(tmpdir(), 'moa-test-'));
  process.env[VARIABLE] = root;
  return () => {
    reportKernels(join(root, 'kernels.jsonl'));
    rmSync(root, { recursive: true, force: true });
  };
}

/** Prints what kernelCounts.ts wrote, one line for the run. */
function reportKernels(path: string): void {
  if (!existsSync(path)) return;
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  const builds = lines.flatMap((line) => JSON.parse(line) as { cached: boolean; seconds: number }[]);
  const built = builds.filter(({ cached }) => !cached);
  const seconds = built.reduce((sum, build) => sum + build.seconds, 0);
  console.log(`kernels for the emulator: ${built.length} built in ${seconds.toFixed(0)} s, ${builds.length - built.length} from the cache`);
}

export const scratchRoot = (): string => process.env[VARIABLE] ?? tmpdir();
