import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Needs a GPU: run with `npx vitest run --dir test/gpu`.
    exclude: ['test/gpu/**', '**/node_modules/**'],
    // Kernels on the emulator take seconds, and a first run also builds them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
