import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CODES } from '../../src/plan/codes.ts';
import { readRepositoryFile } from './support.ts';

const sources = ['src/plan', 'src/util'].flatMap((folder) =>
  readdirSync(new URL(`../../${folder}`, import.meta.url), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => ({ name, text: readRepositoryFile(`${folder}/${name}`).toString() })),
);

describe('codes', () => {
  it('are all used, and nothing else is', () => {
    const used = new Set(sources.filter(({ name }) => !/codes\.ts$/i.test(name)).flatMap(({ text }) => [...text.matchAll(/'(MOA1\d{3})'/g)].map((match) => match[1]!)));
    expect([...used].sort()).toEqual(Object.keys(CODES).sort());
  });

  it('are what docs/diagnostics.md lists', () => {
    const rows = [...readRepositoryFile('docs/diagnostics.md').toString().matchAll(/^\| (MOA1\d{3}) \| (.*) \|$/gm)].map((match) => [match[1]!, match[2]!]);
    expect(Object.fromEntries(rows)).toEqual(CODES);
    expect(rows).toHaveLength(Object.keys(CODES).length);
  });
});
