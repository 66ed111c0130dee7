/** Where packages may lie, and who may import them. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync, chmodSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { Device, loadPackage } from '../../src/runtime/index.ts';
import { repositoryPath } from '../cli/installed.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const example = repositoryPath('generated/example');

/** Of a folder and all that is in it: names, sizes and times. */
const contents = (folder: string): string =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((path) => [path, statSync(join(folder, path)).size, statSync(join(folder, path)).mtimeMs].join(' '))
    .join('\n');

test('a package is loaded from a read-only folder anywhere, by path and by URL, and stays as it is', async () => {
  const folder = join(scratchFolder(), 'a package, näher besehen');
  cpSync(example, folder, { recursive: true });
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) chmodSync(join(folder, path), statSync(join(folder, path)).isDirectory() ? 0o555 : 0o444);
  chmodSync(folder, 0o555);
  const before = contents(folder);
  const device = await Device.open('emulator');
  try {
    for (const place of [folder, `${folder}/`, pathToFileURL(folder), pathToFileURL(`${folder}/`)]) {
      using plan = await loadPackage(device, place);
      using session = plan.createSession({ batch: 1, lengthBound: 100, rope: 'none' });
      expect(session.memory.cache).toBe(plan.memory({ batch: 1, lengthBound: 100 }).cache);
    }
    expect(contents(folder)).toBe(before);
  } finally {
    device.dispose();
  }
}, 120_000);

test('a project of CommonJS modules imports one', () => {
  const project = scratchFolder();
  writeFileSync(join(project, 'package.json'), '{ "name": "service", "main": "main.js" }');
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(repositoryPath('.'), join(project, 'node_modules', 'moa-compile'));
  cpSync(example, join(project, 'plan'), { recursive: true });
  writeFileSync(
    join(project, 'main.js'),
    `const { strictEqual } = require('node:assert');
     import('./plan/index.js').then(async ({ definition, load }) => {
       const { Device } = await import('moa-compile/runtime');
       const device = await Device.open('emulator');
       const plan = await load(device, { elementTypes: ['bf16'] });
       strictEqual(plan.definition, definition);
       console.log(definition.shape.layers, plan.elementTypes.join());
       device.dispose();
     });`,
  );
  expect(execFileSync(process.execPath, ['main.js'], { cwd: project, encoding: 'utf8' })).toBe('8 bf16\n');
}, 120_000);
