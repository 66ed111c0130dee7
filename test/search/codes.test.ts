import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PROFILER_CODES, SEARCH_CODES } from '../../src/search/codes.ts';
import { repositoryPath } from '../cli/installed.ts';

test('all codes of profiles and certificates are used, and no others', () => {
  const folder = repositoryPath('src/search');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && name !== 'codes.ts');
  const used = new Set(files.flatMap((name) => [...readFileSync(`${folder}/${name}`, 'utf8').matchAll(/'(MOA7\d{3})'/g)].map((match) => match[1]!)));
  expect([...used].sort()).toEqual(Object.keys(SEARCH_CODES).sort());
});

test('the codes of the profiler are 74xx', () => {
  expect(Object.keys(PROFILER_CODES).every((code) => code.startsWith('MOA74'))).toBe(true);
});
