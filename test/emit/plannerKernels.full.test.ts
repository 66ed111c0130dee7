/** The kernels that plan, through the real nvcc. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { plannerEntries } from '../../src/kernels/planners.ts';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
import { parsePtxasReport } from '../../src/toolchain/ptxasReport.ts';
import { plannerSource } from '../emulator/planners.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const nvcc = await findNvcc({ variables: process.env }).catch(() => undefined);
if (nvcc === undefined) console.warn('SKIPPED: tests with the real nvcc; put it on PATH to run them');
const templates = fileURLToPath(new URL('../../templates/', import.meta.url));
const headers = ['-I', `${templates}include`, '-I', `${templates}cuda`];

/** Registers of a multiprocessor, on every architecture that there is a package for. */
const registersOfSm = 65_536;

const targets = ['sm_80', 'sm_90a'].flatMap((architecture) => plannerEntries.map(([role, planner]) => [role, architecture, planner] as const));

describe.skipIf(nvcc === undefined)('the real nvcc (skipped where there is none)', () => {
  test.each(targets)('%s for %s: no warning, no spill, no stack', (role, architecture, { name, threads, minBlocksPerSm }) => {
    const folder = scratchFolder();
    const source = join(folder, `${name}.cu`);
    writeFileSync(source, plannerSource(role));
    const flags = ['-cubin', `-arch=${architecture}`, '-std=c++20', '-O3', '-Xptxas', '-v', '-Werror', 'all-warnings'];
    const args = [...flags, ...headers, source, '-o', join(folder, 'kernel.cubin')];
    const run = spawnSync(nvcc!.path, args, { encoding: 'utf8' });
    expect(run.stderr).not.toContain('error');
    expect(run.status).toBe(0);
    const { functions, remarks } = parsePtxasReport(run.stderr);
    expect(remarks).toEqual([]);
    expect(functions).toMatchObject([{ name, stackBytes: 0, spillStoreBytes: 0, spillLoadBytes: 0 }]);
    // As many blocks on a multiprocessor as the planner's row says.
    expect(functions[0]!.registers! * threads * minBlocksPerSm).toBeLessThanOrEqual(registersOfSm);
  });
});
