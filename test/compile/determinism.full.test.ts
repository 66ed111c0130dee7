import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compilePackage } from '../../src/compilePackage.ts';
import { fileBytes } from '../../src/emit/package.ts';
import { findNvcc } from '../../src/toolchain/findNvcc.ts';
import { repositoryPath } from '../cli/installed.ts';
import { run, scratchFolder, snapshot, tinyPlan } from '../cli/support.ts';
import { compileText, planText, targetsOf } from './support.ts';

const emit = new Set(['ir', 'cuda', 'ts'] as const);
const plans = {
  'the example': readFileSync(repositoryPath('examples/retrieval-20m/plan.json'), 'utf8'),
  'different rules in a KV head': readFileSync(tinyPlan, 'utf8'),
  'many rules': planText({ layers: 3, queryHeads: 24, kvHeads: 3, headDim: 128, mixed: true }),
};

async function hashesOf(text: string): Promise<Record<string, string>> {
  const { targets, architectures } = targetsOf('sm_80', 'sm_86', 'sm_90');
  const { files } = await compilePackage(compileText(text, { architectures }), { emit, targets, planText: text, version: '0.0.0' });
  return Object.fromEntries([...files.files].map(([path, content]) => [path, createHash('sha256').update(fileBytes(content)).digest('hex')]));
}

test.each(Object.entries(plans))('%s: three compiles, with others between them, give the same bytes', async (_, text) => {
  const first = await hashesOf(text);
  await Promise.all(Object.values(plans).map(hashesOf));
  expect(await hashesOf(text)).toEqual(first);
  expect(await Promise.all([hashesOf(text), hashesOf(text)])).toEqual([first, first]);
});

const shared = ['--arch', 'sm_80,sm_90', '-q'];

test('fresh processes with other debug levels, locales, time zones, folders and spellings of the options too', () => {
  const folder = scratchFolder();
  const variants = [
    { args: [...shared, '--emit=ir,cuda,ts'], variables: {} },
    { args: ['--emit=ts', '--emit=ts,ir,cuda', '--arch', '9.0', '--arch', '80', '-q'], variables: { LC_ALL: 'tr_TR.UTF-8', LANG: 'tr_TR.UTF-8', TZ: 'Asia/Kathmandu' } },
    { args: [...shared, '--emit=cuda,ir,ts'], variables: { MOA_DEBUG: '5', NODE_OPTIONS: '--stack-trace-limit=3' } },
  ];
  const results = variants.map(({ args, variables }, index) => run([tinyPlan, ...args, '-o', join(folder, String(index))], { variables, folder: scratchFolder() }));
  expect(results.map(({ status, stdout }) => `${status}${stdout}`)).toEqual(['0', '0', '0']);
  expect(results.map(({ stderr }) => stderr === '')).toEqual([true, true, false]);
  const [first, ...others] = variants.map((_, index) => snapshot(join(folder, String(index))));
  for (const other of others) expect(other).toEqual(first);
});

const nvcc = await findNvcc({ variables: process.env }).catch(() => undefined);
if (nvcc === undefined) console.warn('SKIPPED: tests with the real nvcc; put it on PATH to run them');

describe.skipIf(nvcc === undefined)('machine code (skipped where there is no nvcc)', () => {
  test('two compiles in two folders, without the cache, are byte-equal with cubins and fatbin', () => {
    const folders = [scratchFolder(), scratchFolder()];
    const results = folders.map((folder) => run([tinyPlan, '--arch', '9.0+PTX', '--nvcc', nvcc!.path, '--no-cache', '-o', 'package'], { folder }));
    expect(results.map(({ status, stderr }) => `${status}${stderr}`)).toEqual(['0', '0']);
    expect(results[0]!.stdout).toBe(results[1]!.stdout);
    const [first, second] = folders.map((folder) => snapshot(join(folder, 'package')));
    expect(second).toEqual(first);
    expect(Object.keys(first!).filter((path) => path.startsWith('cubin/'))).toEqual(['cubin/all.fatbin', 'cubin/sm_90.cubin']);
    for (const [path, content] of Object.entries(first!)) {
      for (const folder of folders) expect(content.includes(folder), path).toBe(false);
      expect(content.includes('/moa-compile-'), path).toBe(false);
    }
  });
});
