/** Every pass against its fixtures. `UPDATE_FIXTURES=1 npx vitest run test/passes` writes them anew: read the diff before you keep it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Module } from '../../src/ir/nodes.ts';
import { printModule } from '../../src/ir/print.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import { listCases, readCase, separator } from './readCase.ts';

const update = process.env['UPDATE_FIXTURES'] === '1';
const cases = listCases();
/** The passes whose output has the level of their input: only they can return it as it came. */
const sameLevel: readonly string[] = ['canonicalizeRules', 'dedupeKernels'];

describe.each(pipeline.map(({ name }) => name))('%s', (pass) => {
  const paths = cases.get(pass) ?? [];

  test.each(paths.map((path) => [basename(path, '.txt'), path] as const))('%s', (name, path) => {
    const { input, module, context, expected } = readCase(readFileSync(path, 'utf8'));
    let changed: boolean | undefined;
    const result: Module = runPasses(module, pipeline, context, (event) => (changed = event.changed), pass);
    const printed = printModule(result);
    if (update) writeFileSync(path, `${input}${separator}${printed}`);
    else expect(printed).toBe(expected);
    if (sameLevel.includes(pass)) expect(changed).toBe(!name.startsWith('nothing'));
  });

  test('has a case with something to do, and one with nothing to do', () => {
    const names = paths.map((path) => basename(path));
    expect(names.filter((name) => name.startsWith('nothing')).length, 'cases named nothing*.txt').toBeGreaterThanOrEqual(1);
    expect(names.filter((name) => !name.startsWith('nothing')).length, 'other cases').toBeGreaterThanOrEqual(1);
  });
});

test('every folder of cases belongs to a pass', () => {
  const names = pipeline.map(({ name }) => name);
  expect([...cases.keys()].filter((name) => !names.includes(name))).toEqual([]);
});

test.each(pipeline.map(({ name }) => name))('src/passes/%s.ts opens with the IR before and after, and the invariant', (pass) => {
  const text = readFileSync(new URL(`../../src/passes/${pass}.ts`, import.meta.url), 'utf8');
  const header = /^\/\*\*[\s\S]*?\*\//.exec(text)?.[0] ?? '';
  expect(header).toMatch(/\n \* +becomes/);
  expect(header).toContain('Invariant');
  expect(text).toContain(`export function ${pass}(`);
});
