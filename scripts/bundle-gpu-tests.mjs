/**
 * Bundles `test/gpu/main.ts` into `.gpu/tests/gpu-tests.mjs`, which needs Node and the addon only, and writes the CUDA sources of its
 * kernels beside it. On the GPU's machine, in the repository:
 *
 *     bench/gpu.sh tests      builds <shape>.<architecture>.cubin, and runs them in parallel; or, when they are built,
 *     node .gpu/tests/gpu-tests.mjs run .gpu/tests/packages
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';

const root = fileURLToPath(new URL('../', import.meta.url));
// Two folders deep, as `src/emit` is: the compiler finds its templates from there.
const bundle = `${root}.gpu/tests/gpu-tests.mjs`;

rmSync(`${root}.gpu/tests/packages`, { recursive: true, force: true });
await build({
  input: `${root}test/gpu/main.ts`,
  platform: 'node',
  logLevel: 'warn',
  transform: { target: 'node20' },
  output: { file: bundle, format: 'esm', codeSplitting: false },
});
execFileSync(process.execPath, [bundle, 'sources', `${root}.gpu/tests/packages`], { stdio: 'inherit' });
