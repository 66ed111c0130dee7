import { defineConfig } from 'vitest/config';
import { TestReporter } from './scripts/testReporter.mjs';

/** Programs for a machine with a GPU: `scripts/bundle-gpu-tests.mjs`. */
const notHere = ['test/gpu/**', '**/node_modules/**'];

/** `npm run test:full` is `--mode full`: all tests. Without it, those in files `*.full.test.ts` are left out. */
export default defineConfig(({ mode }) => ({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/scratchRoot.ts',
    exclude: mode === 'full' ? notHere : [...notHere, 'test/**/*.full.test.ts'],
    reporters: ['default', new TestReporter()],
    // Kernels on the emulator take seconds, and a first run also builds them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
}));
