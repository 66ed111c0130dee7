/** docs/cli.md has every option of every command, and no other; other pages name only options that there are. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { repositoryPath } from './installed.ts';
import { runMany } from './support.ts';

const commands = [
  'compile',
  'inspect',
  'search',
  'calibrate',
  'check-plan',
  'evaluate',
  'chat',
  'measure',
  'verify',
  'schema',
  'cache',
] as const;
const helps = runMany(commands.map((name) => [name, '--help']));
/** Long names of the options that a command's help lists. */
const optionsOf = (help: string): string[] =>
  [...help.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, name]) => name!);
const options = new Map(commands.map((name, index) => [name, optionsOf(helps[index]!.stdout)]));
const all = new Set([...options.values()].flat());

const page = readFileSync(repositoryPath('docs/cli.md'), 'utf8');
/** Options in the first column of the tables between two lines of the page. */
function documented(from: string, to: string): string[] {
  const part = page.slice(page.indexOf(from), page.indexOf(to, page.indexOf(from)));
  const rows = part.split('\n').filter((line) => line.startsWith('| `-'));
  return rows.flatMap((row) => row.split(' | ')[0]!.match(/--[a-z][a-z-]*/g) ?? []);
}

describe('docs/cli.md', () => {
  const shared = documented('These are options of `inspect` too', 'And of `inspect` alone');
  const running = documented('Those of `chat` and `measure`', 'Of `chat` alone');
  const pages: readonly (readonly [(typeof commands)[number], readonly string[]])[] = [
    ['compile', [...documented('## Options of compile', 'These are options of'), ...shared]],
    ['inspect', [...shared, ...documented('And of `inspect` alone', 'Those of `search`')]],
    ['search', documented('Those of `search`', 'Those of `calibrate`')],
    ['calibrate', documented('Those of `calibrate`', 'Those of `check-plan`')],
    ['check-plan', documented('Those of `check-plan`', 'Those of `verify`')],
    ['verify', documented('Those of `verify`', 'Those of `evaluate`')],
    ['evaluate', documented('Those of `evaluate`', 'Those of `chat`')],
    ['chat', [...running, ...documented('Of `chat` alone', 'Of `measure` alone')]],
    ['measure', [...running, ...documented('Of `measure` alone', '## Architectures')]],
  ];
  const always = ['--help', '--version', '--json', '--quiet'];
  const sorted = (names: readonly string[]): string[] =>
    [...new Set(names)].filter((name) => !always.includes(name)).sort();

  test.each(pages)('%s', (command, found) => {
    expect(sorted(found)).toEqual(sorted(options.get(command)!));
  });

  test('every command has its line', () => {
    for (const name of commands)
      expect(page).toMatch(new RegExp(`^ {4}.*moa-compile ${name}`, 'm'));
  });
});

test('a cache in E4M3 has one spelling in all pages, which the option takes', () => {
  for (const { name, text } of documents()) {
    if (name !== 'docs/cli.md')
      expect(text.match(/kv-cache-dtype \w+/g) ?? [], name).toEqual(
        text.match(/kv-cache-dtype e4m3\b/g) ?? [],
      );
  }
});

test('options that pages name exist', () => {
  for (const { name, text } of documents()) {
    const lines = text.split('\n').filter((line) => /moa-compile(\.js)? .*--/.test(line));
    const named = lines.flatMap((line) => line.match(/(?<![\w-])--[a-z][a-z-]+/g) ?? []);
    expect(
      named.filter((option) => !all.has(option)),
      name,
    ).toEqual([]);
  }
});

function documents(): readonly { readonly name: string; readonly text: string }[] {
  const below = (folder: string): string[] =>
    readdirSync(repositoryPath(folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`);
  const names = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...below('docs')];
  return names.map((name) => ({ name, text: readFileSync(repositoryPath(name), 'utf8') }));
}
