import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { TestReporter } from './scripts/testReporter.mjs';

const root = fileURLToPath(new URL('.', import.meta.url));

/** Seconds of each test file as they once were: `scripts/testTimes.mjs`. */
const durations = JSON.parse(readFileSync(`${root}test/durations.json`, 'utf8')) as Readonly<Record<string, number>>;

/** The longest first, so that two workers end together. New files come first: how long they take is not known. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const seconds = ({ moduleId }: TestSpecification): number => durations[relative(root, moduleId)] ?? Infinity;
    return [...files].sort((a, b) => seconds(b) - seconds(a) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}

/** Programs for a machine with a GPU: `scripts/bundle-gpu-tests.mjs`. */
const notHere = ['test/gpu/**', '**/node_modules/**'];

/** Files whose tests load many kernels for the emulator. */
const kernelTests = ['test/properties/**/*.test.ts', 'test/runtime/**/*.test.ts', 'test/emulator/**/*.test.ts'];

/** A file that takes longer, kernel builds included, is not for `npm run test:quick`. */
const quickSeconds = 1;

/** Files left out of each lane, which `--mode` chooses: everyday (by default), full, quick. */
const leftOut: Readonly<Record<string, readonly string[]>> = {
  full: [],
  everyday: ['test/**/*.full.test.ts'],
  quick: ['test/**/*.full.test.ts', ...Object.keys(durations).filter((file) => durations[file]! > quickSeconds)],
};

export default defineConfig(({ mode }) => {
  const lane = mode in leftOut ? mode : 'everyday';
  const exclude = [...notHere, ...leftOut[lane]!];
  // Of each project: one that extends this file would read it again, in another mode.
  const shared = {
    setupFiles: 'test/kernelCounts.ts',
    env: { MOA_TEST_LANE: lane },
    // Kernels on the emulator take seconds, and a first run also builds them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
  } as const;
  return {
    test: {
      globalSetup: 'test/scratchRoot.ts',
      reporters: ['default', new TestReporter()],
      sequence: { sequencer: LongestFirst },
      maxWorkers: 2,
      projects: [
        // Each kernel that a process has loaded keeps its stacks, and the system limits how many pieces of memory a process may have.
        { test: { ...shared, name: 'kernels', include: kernelTests, exclude, isolate: lane !== 'quick' } },
        // Small files take longer to load than to run: what they share is loaded once.
        { test: { ...shared, name: 'host', include: ['test/**/*.test.ts'], exclude: [...exclude, ...kernelTests], isolate: false } },
      ],
    },
  };
});
