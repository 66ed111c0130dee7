import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/scratchRoot.ts',
    // Programs for a machine with a GPU: `scripts/bundle-gpu-tests.mjs`.
    exclude: ['test/gpu/**', '**/node_modules/**'],
    // Kernels on the emulator take seconds, and a first run also builds them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
