/** Progress on a terminal, which `script` makes: it is drawn on stderr, never on stdout, and leaves the terminal as it was. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { syntheticProfile } from '../search/support.ts';
import { fakeToolkit, onTerminal, scratchFolder, tinyPlan } from './support.ts';

const reason = spawnSync('script', ['--version']).status === 0 ? undefined : 'there is no script of util-linux';
const [hidden, shown] = ['\u001B[?25l', '\u001B[?25h'];

/** What a terminal got, to the end, and the exit code; at `key` in it, ^C is typed. */
async function seen(args: readonly string[], { redirect = '', key }: { readonly redirect?: string; readonly key?: string } = {}): Promise<{ readonly status: unknown; readonly text: string }> {
  const child = onTerminal(args, redirect);
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    const before = key !== undefined && text.includes(key);
    text += chunk.toString('utf8');
    if (key !== undefined && !before && text.includes(key)) child.stdin!.write('\u0003');
  });
  const [status] = (await once(child, 'close')) as [unknown];
  return { status, text };
}

describe.skipIf(reason !== undefined)(`progress${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  const folder = scratchFolder();
  const plan = join(folder, 'plan.json');
  const small = syntheticProfile({ layers: 4, queryHeads: 4, kvHeads: 2, lengths: [512, 1024], seed: 2 }).path;
  const front = ['search', small, '-o', plan, '--density', '0.4', '--front', '--alpha-step', '192', '--betas', '4', '--rules-per-layer', '1'];

  test('of a search: problems of the front, plans made exact, and the result', async () => {
    const { status, text } = await seen(front);
    expect(status, text).toBe(0);
    expect(text).toMatch(/searching: \d+ of \d+, problems of the front\r\n[^]*searching: \d+ of \d+, plans made exact\r\n[^]*4 layers, 2 KV heads each/);
    expect(text.lastIndexOf(shown)).toBeGreaterThan(text.lastIndexOf(hidden));
  });

  test.each([
    ['a search', front, /searching: \d+ of \d+, plans made exact/],
    ['a compile', [tinyPlan, '--nvcc', fakeToolkit(), '--arch', 'sm_80,sm_90', '--no-cache', '-o', join(folder, 'package')], /compiling for sm_80, sm_90/],
  ] as const)('of %s whose results go to a file', async (_, args, drawn) => {
    const file = join(scratchFolder(), 'result.json');
    const { status, text } = await seen([...args, '--json'], { redirect: `> '${file}'` });
    expect(status, text).toBe(0);
    expect(text).toMatch(drawn);
    expect(() => void JSON.parse(readFileSync(file, 'utf8'))).not.toThrow();
  });

  test('there is none with --quiet, and none in a file', async () => {
    const file = join(scratchFolder(), 'said');
    expect(await seen([...front, '-q'])).toEqual({ status: 0, text: '' });
    const { status, text } = await seen(front, { redirect: `2> '${file}'` });
    expect({ status, said: readFileSync(file, 'utf8') }).toEqual({ status: 0, said: '' });
    expect(text).toMatch(/^4 layers, /);
  });

  test('^C ends it at once, as that signal, and the cursor is seen again', async () => {
    const large = syntheticProfile({ layers: 24, queryHeads: 16, kvHeads: 16, lengths: [512, 1024, 2048], seed: 4 }).path;
    const { status, text } = await seen(['search', large, '-o', plan, '--density', '0.4', '--front'], { key: 'problems of the front' });
    expect(status, text).toBe(130);
    expect(text.endsWith(`\r\u001B[K${shown}interrupted; the output is as it was, or whole\r\n`)).toBe(true);
  });
});
