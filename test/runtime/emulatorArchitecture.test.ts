/** The emulator runs the kernels of each architecture that a package has: those of the first, or of the one that it is opened for. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { compile, compilePackage, DiagnosticList, findArchitecture, writePackage } from '../../src/index.ts';
import { decodeElements, Device, encodeElements } from '../../src/runtime/index.ts';
import { Plan } from '../../src/runtime/plan.ts';
import { scratchFolder, tinyPlan } from '../cli/support.ts';

/** Outputs of a prefill in two chunks and of a decode, and how many products of a warpgroup were computed for them. */
async function runOn(architecture: string | undefined, definition: Plan['definition'], folder: string): Promise<{ readonly out: Float32Array; readonly wgmma: number }> {
  using device = await Device.open('emulator', architecture === undefined ? {} : { architecture });
  using plan = await Plan.load(device, definition, pathToFileURL(`${folder}/`), { elementTypes: ['fp16'] });
  const { queryHeads, kvHeads, headDim } = definition.shape;
  using session = plan.createSession({ batch: 1, lengthBound: 200 });
  const tensor = (tokens: number, heads: number) => device.upload(encodeElements('fp16', Float32Array.from({ length: tokens * heads * headDim }, (_, i) => Math.sin(i * 0.37 + heads + tokens))));
  const outs: Float32Array[] = [];
  for (const tokens of [100, 70, 1]) {
    const tensors = { q: tensor(tokens, queryHeads), k: tensor(tokens, kvHeads), v: tensor(tokens, kvHeads), out: tensor(tokens, queryHeads) };
    if (tokens === 1) session.decode(0, tensors);
    else session.prefill(0, { ...tensors, cuSeqlens: [0, tokens] });
    outs.push(decodeElements('fp16', tensors.out.read(new Uint16Array(tokens * queryHeads * headDim))));
  }
  return { out: Float32Array.from(outs.flatMap((out) => [...out])), wgmma: device.counters.wgmma };
}

test('a package of both families, each in turn', { timeout: 300_000 }, async () => {
  const folder = join(scratchFolder(), 'model');
  const text = readFileSync(tinyPlan, 'utf8');
  const names = ['sm_80', 'sm_90a'] as const;
  const compiled = compile({ file: 'tiny.json', text }, undefined, { architectures: names.map((name) => findArchitecture(name)!), rope: false }, new DiagnosticList())!;
  const targets = names.map((name) => ({ name, ptx: false }));
  const built = await compilePackage(compiled, { emit: new Set(['cuda', 'ts']), targets, planText: text, version: '0' });
  await writePackage(built.files, folder);
  const { definition } = compiled.runtime({});
  const first = await runOn(undefined, definition, folder);
  const mma = await runOn('sm_80', definition, folder);
  const hopper = await runOn('sm_90a', definition, folder);
  expect(first).toEqual(mma);
  expect(mma.wgmma).toBe(0);
  expect(hopper.wgmma).toBeGreaterThan(0);
  // Both are right to rounding; the property tests hold each to the oracle.
  const worst = Math.max(...hopper.out.map((value, index) => Math.abs(value - mma.out[index]!)));
  expect(worst).toBeLessThan(4e-3);
  await expect(runOn('sm_90', definition, folder)).rejects.toThrow(/^MOA6203: .*of sm_90, and the package has those of sm_80, sm_90a/);
});
