// Stands in for nvcc on emitted units: gives the fake of the toolchain's tests a source that names the unit's kernels, and
// `FAKE_FAULT` as the fault to have.
import { readFileSync, writeFileSync } from 'node:fs';

const at = process.argv.findIndex((arg) => arg.endsWith('.cu'));
if (at >= 0) {
  const kernels = [...readFileSync(process.argv[at], 'utf8').matchAll(/^#include "(\w+)\.cu"$/gm)].map(([, name]) => `__global__ void ${name}();\n`);
  writeFileSync('fake.cu', `// fake: ${process.env.FAKE_FAULT ?? 'none'}\n${kernels.join('')}`);
  process.argv[at] = 'fake.cu';
}
await import('../../toolchain/fakes/fakeNvcc.mjs');
