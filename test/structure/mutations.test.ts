import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';

interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
}

test('every planted bug has its text once in the file that it is for', async () => {
  const { mutations } = (await import(repositoryPath('scripts/mutationList.mjs'))) as { readonly mutations: readonly Mutation[] };
  const texts = new Map(mutations.map(({ file }) => [file, readFileSync(repositoryPath(file), 'utf8')]));
  expect(mutations.filter(({ file, find }) => texts.get(file)!.split(find).length !== 2).map(({ name }) => name)).toEqual([]);
});
