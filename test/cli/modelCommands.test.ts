/** Commands that Python does with our standard input and output: `chat`, `measure`. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { pythonArguments } from '../../src/search/python.ts';
import { answers, fakePythons, passes } from './fakePython.ts';
import { onTerminal, run } from './support.ts';

const { model, fakePython, calls } = fakePythons();
const given = (python: string): string[] => ['--model', model, '--package', '/package', '--python', python];

/** Says its arguments and its input, and ends with `code`. */
const says = (code: number): string => answers(passes, `shift 3; printf '<%s>\\n' "$@"; cat; exit ${code}`);

describe('options', () => {
  test('have the names of Python', () => {
    expect(pythonArguments({ newTokens: 64, static: true, lengths: [1024, 2048], system: '-be kind', quiet: false })).toEqual(['--new-tokens=64', '--static', '--lengths=1024,2048', '--system=-be kind']);
  });

  test.each([
    ['chat', ['--temperature', '0', '--length-bound', '4k'], ['--new-tokens=1024', '--temperature=0', '--length-bound=4096']],
    ['measure', ['--batch', '1,4', '-o', 'out.json'], ['--lengths=4096,16384', '--batch=1,4', '--new-tokens=64', '--output=out.json']],
  ])('of %s', (command, more, passed) => {
    const { status, stdout } = run([command, ...given(fakePython('echo', says(0))), ...more], { input: 'hello\n' });
    expect(status).toBe(0);
    const lines = stdout.trim().split('\n');
    expect(lines.slice(0, -1).sort()).toEqual([`<--model=${model}>`, '<--package=/package>', ...passed.map((word) => `<${word}>`)].sort());
    expect(lines.at(-1)).toBe('hello');
    expect(calls()).toEqual(['check', command]);
  });

  test('that are missing or wrong are said before Python starts', () => {
    const python = fakePython('unasked', says(0));
    expect(run(['chat', '--model', model])).toMatchObject({ status: 2, stderr: expect.stringContaining("required option '--package <dir>'") });
    expect(run(['measure', ...given(python), '--new-tokens', '1'])).toMatchObject({ status: 2 });
    expect(calls()).toEqual([]);
  });
});

describe('the end', () => {
  test("is Python's", () => {
    expect(run(['chat', ...given(fakePython('fails', says(2)))])).toMatchObject({ status: 2, stderr: expect.stringMatching(/^python: .*\n$/) });
    expect(run(['chat', ...given(fakePython('killed', answers(passes, 'kill -9 $$')))])).toMatchObject({ status: 1, stderr: expect.stringContaining('error MOA7307: python -m moa_compile chat ended with SIGKILL') });
  });

  test('Ctrl-C is for Python alone', async () => {
    const python = fakePython('waits', answers(passes, "trap 'echo interrupted; again=yes' INT; echo ready; while [ -z \"$again\" ]; do sleep 0.05; done; echo goes on; exit 5"));
    const child = onTerminal(['chat', ...given(python), '-q'], '');
    let output = '';
    child.stdout!.on('data', (text: Buffer) => (output += text.toString('utf8')));
    while (!output.includes('ready') && child.exitCode === null) await sleep(20);
    child.stdin!.write('\x03');
    const [status] = await once(child, 'close');
    expect(output).toContain('goes on');
    expect(status).toBe(5);
  });
});
