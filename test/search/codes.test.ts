import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PROFILER_CODES, SEARCH_CODES } from '../../src/search/codes.ts';
import { repositoryPath } from '../cli/installed.ts';

test('all codes of the search are used, and no others', () => {
  const paths = ['src/search', 'src/evaluate', 'src/cli'].flatMap((folder) => readdirSync(repositoryPath(folder), { recursive: true, encoding: 'utf8' }).map((name) => repositoryPath(`${folder}/${name}`)));
  const files = paths.filter((path) => path.endsWith('.ts') && !path.endsWith('/codes.ts'));
  const used = new Set(files.flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/'(MOA7\d{3})'/g)].map((match) => match[1]!)));
  expect([...used].sort()).toEqual(Object.keys(SEARCH_CODES).sort());
});

test("Python's codes are those of codes.py", () => {
  const source = readFileSync(repositoryPath('python/moa_compile/search/codes.py'), 'utf8');
  const codes = source.slice(source.indexOf('CODES = {'), source.indexOf('}')).match(/MOA\d{4}/g);
  expect(codes).toEqual(Object.keys(PROFILER_CODES));
});

test('the codes of the profiler are 74xx', () => {
  expect(Object.keys(PROFILER_CODES).every((code) => code.startsWith('MOA74'))).toBe(true);
});
