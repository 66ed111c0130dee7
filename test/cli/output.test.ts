import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runMany, scratchFile, scratchFolder, snapshot, sourcesOnly, tinyPlan } from './support.ts';

const compileTo = (folder: string, ...more: string[]): readonly string[] => [tinyPlan, ...sourcesOnly, '-o', folder, ...more];

test('a file in the way, as the folder and as its parent', () => {
  const file = scratchFile('file', 'mine');
  const [itself, below] = runMany([compileTo(file), compileTo(join(file, 'package'))]);
  for (const result of [itself, below]) {
    expect(result).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/^error MOA5004: .*\n {4}help: /) });
  }
  expect(readFileSync(file, 'utf8')).toBe('mine');
});

test('missing parents are made, and the second time nothing changes', () => {
  const folder = join(scratchFolder(), 'a', 'b', 'package');
  const [first, second] = runMany([compileTo(folder), compileTo(folder)]);
  expect(first).toMatchObject({ status: 0, stdout: expect.stringMatching(/^wrote /), stderr: '' });
  expect(second).toMatchObject({ status: 0, stdout: expect.stringMatching(/^unchanged /), stderr: '' });
});

test('a folder that is not ours is refused, and replaced with --force', () => {
  const folder = join(scratchFolder(), 'thesis');
  mkdirSync(folder);
  writeFileSync(join(folder, 'thesis.tex'), 'years of work');
  const before = snapshot(folder);
  const [refused] = runMany([compileTo(folder)]);
  expect(refused).toMatchObject({ status: 1, stdout: '', stderr: expect.stringMatching(/MOA5002[^]*--force/) });
  expect(snapshot(folder)).toEqual(before);
  const [forced] = runMany([compileTo(folder, '--force')]);
  expect(forced).toMatchObject({ status: 0 });
  expect(existsSync(join(folder, 'thesis.tex'))).toBe(false);
});

test('--check: 0 when current, 1 with the name of each file that is not', () => {
  const folder = join(scratchFolder(), 'package');
  const check = compileTo(folder, '--check');
  const [absent, , current, json] = runMany([check, compileTo(folder), check, [...check, '--json']]);
  expect(absent).toMatchObject({ status: 1, stderr: expect.stringContaining(`${folder}/index.js: error MOA2003: missing`) });
  expect(current).toEqual({ status: 0, stdout: `${folder} is current\n`, stderr: '' });
  expect(JSON.parse(json!.stdout)).toEqual({ output: folder, result: 'current', differences: [] });

  const source = join(folder, 'definition.json');
  const text = readFileSync(source, 'utf8');
  writeFileSync(source, text.replace('sinkWindow', 'sinkWindoW'));
  rmSync(join(folder, 'module.ir'));
  writeFileSync(join(folder, 'kernels', 'notes.txt'), '');
  const before = snapshot(folder);
  const [different, differentJson] = runMany([check, [...check, '--json']]);
  expect(different!.status).toBe(1);
  const lines = different!.stderr.split('\n');
  expect(lines.slice(0, 3)).toEqual([`${folder}/definition.json: error MOA2003: changed`, `${folder}/kernels/notes.txt: error MOA2003: extra`, `${folder}/module.ir: error MOA2003: missing`]);
  expect(JSON.parse(differentJson!.stdout)).toMatchObject({ result: 'different', differences: [{ path: 'definition.json', kind: 'changed' }, { kind: 'extra' }, { kind: 'missing' }] });
  expect(snapshot(folder)).toEqual(before);
});
