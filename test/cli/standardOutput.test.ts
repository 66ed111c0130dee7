/**
 * Standard output and standard error that cannot be written: a plain error, never "a bug of
 * moa-compile".
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { runRedirected, scratchFolder, sourcesOnly, tinyPlan } from './support.ts';

const commands = [
  ['--help'],
  ['--version'],
  ['compile', '--help'],
  ['schema'],
  ['cache', 'ls'],
  ['inspect', tinyPlan],
  ['inspect', tinyPlan, '--json'],
  [tinyPlan, '--arch', 'sm_80', '--emit=ir'],
  [tinyPlan, ...sourcesOnly, '--dry-run'],
  [tinyPlan, '--arch', 'sm_80', '--stop-after', 'groupHeads'],
] as const;

describe.skipIf(!existsSync('/dev/full'))('a full disk', () => {
  test.each(commands.map((args) => [args.join(' '), args] as const))(
    'behind the output of %s',
    (_, args) => {
      const { status, stderr } = runRedirected(args, '> /dev/full');
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(
          /^error MOA5012: standard output .*ENOSPC.*\n {4}help: .*\n$/,
        ),
      });
    },
  );

  test('behind both: the exit code says it', () => {
    expect(runRedirected(['inspect', tinyPlan], '> /dev/full 2>&1')).toEqual({
      status: 1,
      stdout: '',
      stderr: '',
    });
  });

  test('behind standard error: an error keeps its exit code, a lost warning is no success', () => {
    expect(runRedirected(['--no-such-option'], '2> /dev/full')).toMatchObject({
      status: 2,
      stdout: '',
    });
    const folder = join(scratchFolder(), 'package');
    const warned = [tinyPlan, ...sourcesOnly, '--head-dim', '128', '-o', folder];
    expect(runRedirected(warned, '2> /dev/full')).toMatchObject({
      status: 1,
      stdout: expect.stringMatching(/^wrote /),
    });
    expect(runRedirected(warned, '')).toMatchObject({
      status: 0,
      stderr: expect.stringContaining('warning MOA1203'),
    });
  });

  test('the package is whole when only the summary is lost', () => {
    const folder = join(scratchFolder(), 'package');
    const args = [tinyPlan, ...sourcesOnly, '-o', folder];
    expect(runRedirected(args, '> /dev/full')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('MOA5012'),
    });
    expect(runRedirected(args, '')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^unchanged /),
    });
  });
});

test.each([['inspect', tinyPlan], ['schema'], ['--help']])(
  'a closed pipe is no error: %s',
  (...args) => {
    expect(runRedirected(args, '| true')).toEqual({ status: 0, stdout: '', stderr: '' });
  },
);
