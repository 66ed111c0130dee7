/** The kernels that change page tables, through the real nvcc. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { findArchitecture } from '../../src/arch/registry.ts';
import { parsePtxasReport } from '../../src/toolchain/ptxasReport.ts';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
import { compileText, planText } from '../compile/support.ts';
import { renderPages } from '../emulator/pageSession.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const nvcc = await findNvcc({ variables: process.env }).catch(() => undefined);
if (nvcc === undefined) console.warn('SKIPPED: tests with the real nvcc; put it on PATH to run them');
const templates = fileURLToPath(new URL('../../templates/', import.meta.url));
const headers = ['-I', `${templates}include`, '-I', `${templates}cuda`];

/** The plan of a model with 32 layers and many rules. */
function largePlan(): string {
  const plan = JSON.parse(planText({ layers: 32, queryHeads: 32, kvHeads: 8, headDim: 128, mixed: true })) as object;
  const row = (layer: number): number[] => Array.from({ length: 32 }, (_, head) => ((layer * 32 + head) % 120) * 16);
  return JSON.stringify({ ...plan, alphas: Array.from({ length: 32 }, (_, layer) => row(layer)) });
}

const kernels = ['sequences', 'takePages'] as const;
const targets = ['sm_80', 'sm_90a'].flatMap((architecture) => kernels.map((name) => [name, architecture] as const));

describe.skipIf(nvcc === undefined)('the real nvcc (skipped where there is none)', () => {
  const { definition } = compileText(largePlan(), { architectures: [findArchitecture('sm_80')!] }).runtime({});

  test.each(targets)('%s for %s: no warning, no spill, no stack', (name, architecture) => {
    const folder = scratchFolder();
    const source = join(folder, `${name}.cu`);
    writeFileSync(source, renderPages(name, definition));
    const flags = ['-cubin', `-arch=${architecture}`, '-std=c++20', '-O3', '-Xptxas', '-v', '-Werror', 'all-warnings'];
    const args = [...flags, ...headers, source, '-o', join(folder, 'kernel.cubin')];
    const run = spawnSync(nvcc!.path, args, { encoding: 'utf8' });
    expect(run.stderr).not.toContain('error');
    expect(run.status).toBe(0);
    const { functions, remarks } = parsePtxasReport(run.stderr);
    expect(remarks).toEqual([]);
    expect(functions).toMatchObject([{ name, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 }]);
    // Two blocks of 256 threads on a multiprocessor.
    expect(functions[0]!.registers).toBeLessThanOrEqual(128);
  });
});
