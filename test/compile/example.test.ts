/** `generated/example` is what the compiler makes today, byte for byte: the golden of a whole package. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { compile } from '../../src/compile.ts';
import { compilePackage } from '../../src/compilePackage.ts';
import { comparePackage, type PackageDifference } from '../../src/emit/comparePackage.ts';
import type { PackageFiles } from '../../src/emit/package.ts';
import { verifyPackage } from '../../src/emit/verifyPackage.ts';
import { writePackage } from '../../src/emit/writePackage.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { version } from '../../src/version.ts';
import { repositoryPath } from '../cli/installed.ts';
import { runMany, scratchFolder, snapshot } from '../cli/support.ts';
import { targetsOf } from './support.ts';

const planPath = repositoryPath('examples/retrieval-20m/plan.json');
const example = repositoryPath('generated/example');
const command = 'node bin/moa-compile.js examples/retrieval-20m/plan.json --arch sm_80,sm_90 --emit=ir,cuda,ts -o generated/example';

async function compileExample(): Promise<PackageFiles> {
  const plan = readFileSync(planPath);
  const diagnostics = new DiagnosticList();
  const { targets, architectures } = targetsOf('sm_80', 'sm_90');
  const config = { text: readFileSync(repositoryPath('examples/retrieval-20m/config.json')), file: 'config.json' };
  const compiled = compile({ text: plan, file: 'plan.json' }, config, { architectures }, diagnostics);
  expect(diagnostics.toArray()).toEqual([]);
  return (await compilePackage(compiled!, { emit: new Set(['ir', 'cuda', 'ts']), targets, planText: plan, version })).files;
}

const options = ['--arch', 'sm_80,sm_90', '--emit=ir,cuda,ts'];

test('the example is current', async () => {
  expect(comparePackage(await compileExample(), example), `after reading what changed: ${command}`).toEqual([]);
  expect(verifyPackage(example)).toEqual([]);
  const [checked] = runMany([[planPath, ...options, '--check', '-o', example]]);
  expect(checked).toEqual({ status: 0, stdout: `${example} is current\n`, stderr: expect.stringMatching(/^\S+config\.json:1:1: note MOA1337: [^\n]*\n    help: [^\n]*\n$/) });
  expect(readFileSync(repositoryPath('generated/README.md'), 'utf8')).toContain(`\`${command}\``);
});

test('it has no path of the machine that made it', () => {
  const text = Object.values(snapshot(example)).join('\n');
  for (const word of [repositoryPath('').slice(0, -1), process.env['HOME'] ?? '/root', '/tmp']) expect(text).not.toContain(word);
});

test('its sources read as if written by hand', () => {
  for (const [path, text] of Object.entries(snapshot(example)).filter(([name]) => /\.(cu|js|ts|ir)$/.test(name))) {
    expect(text.endsWith('}\n') || text.endsWith('"\n') || text.endsWith(';\n') || /\}  \/\/ namespace \S+\n$/.test(text), `${path} ends with a line`).toBe(true);
    expect(text, `${path}: no trailing spaces, tabs, CR or empty lines in a row`).not.toMatch(/[ \t]$|[\t\r]|\n\n\n/m);
    expect(text, `${path}: no HTML escapes or leftovers of templates`).not.toMatch(/&\w+;|\{\{|\}\}|undefined|\[object/);
  }
});

describe('one file that differs is named, by the library and by --check', () => {
  let copy: string;
  beforeEach(async () => {
    copy = join(scratchFolder(), 'example');
    await writePackage(await compileExample(), copy);
  });

  const cases: readonly (readonly [name: string, spoil: () => void, difference: PackageDifference])[] = [
    ['a changed byte', () => writeFileSync(join(copy, 'include/moa/page.cuh'), `${readFileSync(join(copy, 'include/moa/page.cuh'), 'utf8')}\n`), { path: 'include/moa/page.cuh', kind: 'changed' }],
    ['a missing file', () => rmSync(join(copy, 'kernels/all.sm_90.cu')), { path: 'kernels/all.sm_90.cu', kind: 'missing' }],
    ['an extra file', () => writeFileSync(join(copy, 'kernels/moa_old.cu'), ''), { path: 'kernels/moa_old.cu', kind: 'extra' }],
  ];
  test.each(cases)('%s', async (_, spoil, difference) => {
    spoil();
    expect(comparePackage(await compileExample(), copy)).toEqual([difference]);
    const [spoilt] = runMany([[planPath, ...options, '--check', '-o', copy]]);
    expect(spoilt).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining(`${copy}/${difference.path}: error MOA2003: ${difference.kind}`) });
  });
});
