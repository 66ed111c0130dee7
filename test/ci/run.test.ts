/** `.ci/run` reports what has run, whichever way a run ends. In place of npm is `fixtures/npm`. */
import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';
import { expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';

const lines = (...entries: object[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
const passed = (name: string, file = 'a.test.ts'): object => ({ test: name, file, state: 'passed', ms: 1, errors: [] });
const failed = (name: string, file = 'a.test.ts'): object => ({ test: name, file, state: 'failed', ms: 1, errors: ['Error: 1 is not 2\nmore'] });
const ended = (end: string, state = 'passed', errors: string[] = []): object => ({ end, state, ms: 5, errors });

interface Run {
  readonly code: number | null;
  readonly lines: readonly string[];
  readonly last: string | undefined;
}

interface Options {
  readonly results?: string;
  readonly end?: string;
  readonly limit?: string;
  /** Sent as soon as the output holds `when`. */
  readonly signal?: { readonly name: NodeJS.Signals; readonly when: string };
}

function run({ results = '', end = 'exit 0', limit = '', signal }: Options): Promise<Run> {
  const path = `${repositoryPath('test/ci/fixtures')}${delimiter}${process.env['PATH']}`;
  // With this variable no Python is set up: that takes seconds in each run.
  const env = { ...process.env, PATH: path, FAKE_RESULTS: results, FAKE_END: end, MOA_CI_LIMIT: limit, MOA_TEST_PYTHON: 'python3', NO_COLOR: '1' };
  const child = spawn(repositoryPath('.ci/run'), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let sent = false;
  const add = (chunk: Buffer): void => {
    text += chunk.toString();
    if (signal === undefined || sent || !text.includes(signal.when)) return;
    sent = true;
    child.kill(signal.name);
  };
  child.stdout.on('data', add);
  child.stderr.on('data', add);
  return new Promise((resolve) => {
    child.on('close', (code) => {
      const all = text.trimEnd().split('\n');
      resolve({ code, lines: all, last: all.at(-1) });
    });
  });
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test.concurrent('all passed', async () => {
  const results = lines({ run: 1 }, { begin: 'a.test.ts' }, passed('x'), passed('y'), ended('a.test.ts'), { over: 'passed' });
  expect(await run({ results })).toMatchObject({ code: 0, last: '2 passed, 0 failed' });
});

test.concurrent('failures are named, with their first line, and a file that could not be loaded is one', async () => {
  const results = lines(
    { run: 2 }, { begin: 'a.test.ts' }, passed('x'), failed('y'), ended('a.test.ts', 'failed'),
    { begin: 'b.test.ts' }, ended('b.test.ts', 'failed', ['SyntaxError: no']), { error: 'Error: late' }, { over: 'failed' },
  );
  const { code, lines: text, last } = await run({ results, end: 'exit 1' });
  expect({ code, last }).toEqual({ code: 1, last: '1 passed, 3 failed' });
  expect(text.slice(-4, -1)).toEqual([
    'failed: a.test.ts > y: Error: 1 is not 2',
    'failed: b.test.ts could not run: SyntaxError: no',
    'failed: error outside the tests: Error: late',
  ]);
});

test.concurrent('npm that fails before there are results is one failure', async () => {
  const { code, lines: text, last } = await run({ end: 'exit 7' });
  expect({ code, last }).toEqual({ code: 7, last: '0 passed, 1 failed' });
  expect(text.at(-2)).toMatch(/^failed: npm run test:full: ended with exit code 7 after \d+ s$/);
});

test.concurrent('a failure of npm without a failed test is one failure', async () => {
  const results = lines({ run: 1 }, { begin: 'a.test.ts' }, passed('x'), ended('a.test.ts'), { over: 'passed' });
  expect(await run({ results, end: 'exit 1' })).toMatchObject({ code: 1, last: '1 passed, 1 failed' });
});

test.concurrent('a file without an end is a failure, also when npm says that all is well', async () => {
  const results = `${lines({ run: 1 }, { begin: 'a.test.ts' }, passed('x'))}{"test":"y","fi`;
  const { code, lines: text, last } = await run({ results });
  expect({ code, last }).toEqual({ code: 1, last: '1 passed, 1 failed' });
  expect(text.at(-2)).toBe('failed: a.test.ts was still running, after 1 tests');
});

test.concurrent('npm that is killed leaves its counts', async () => {
  const results = lines({ run: 9 }, { begin: 'a.test.ts' }, passed('x'), failed('y'), ended('a.test.ts', 'failed'));
  const { code, lines: text, last } = await run({ results, end: 'kill' });
  expect({ code, last }).toEqual({ code: 137, last: '1 passed, 2 failed' });
  expect(text.at(-2)).toMatch(/^failed: npm run test:full: ended by SIGKILL/);
});

const hanging = lines({ run: 9 }, { begin: 'a.test.ts' }, passed('x'), ended('a.test.ts'), { begin: 'b.test.ts' }, passed('z', 'b.test.ts'));

test.concurrent.each([['SIGTERM', 143], ['SIGINT', 130], ['SIGHUP', 129]] as const)('%s: what ran is counted, what runs is named, and ended', async (name, status) => {
  const { code, lines: text, last } = await run({ results: hanging, end: 'hang', signal: { name, when: 'hangs' } });
  expect({ code, last }).toEqual({ code: status, last: '2 passed, 2 failed' });
  expect(text.at(-4)).toMatch(/^1 of 9 test files ran/);
  expect(text.at(-3)).toBe('failed: b.test.ts was still running, after 1 tests');
  expect(text.at(-2)).toContain(`cut off by ${name}`);
  const pid = Number(/hangs (\d+)/.exec(text.join('\n'))![1]);
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
});

test.concurrent('a limit that was asked for does the same', async () => {
  const { code, lines: text, last } = await run({ results: hanging, end: 'hang', limit: '1' });
  expect({ code, last }).toEqual({ code: 143, last: '2 passed, 2 failed' });
  expect(text.at(-2)).toContain('cut off by MOA_CI_LIMIT=1');
});

const vitest = `run ${repositoryPath('node_modules/vitest/vitest.mjs')} run --root ${repositoryPath('test/ci/fixtures/run')}`;

test.concurrent('vitest writes what .ci/run reads: a failure, a file that cannot be loaded, a worker that is killed', async () => {
  const { code, lines: text, last } = await run({ end: `${vitest} mixed unloadable killed` });
  expect({ code, last }).toEqual({ code: 1, last: '3 passed, 4 failed' });
  const found = text.filter((line) => line.startsWith('failed: ')).join('\n');
  for (const part of ['mixed.case.ts > does not hold: AssertionError', 'unloadable.case.ts could not run', 'killed.case.ts was still running']) {
    expect(found).toContain(part);
  }
  expect(text.some((line) => /^\d of 3 files, \d+ s: \d passed, \d failed$/.test(line)), 'counts as they come').toBe(true);
});

test.concurrent('vitest cut off by a signal leaves what it had', async () => {
  const { code, last } = await run({ end: `${vitest} mixed hanging`, signal: { name: 'SIGTERM', when: '1 of 2 files' } });
  expect(code).toBe(143);
  expect(last).toMatch(/^2 passed, [23] failed$/);
});
