import { once } from 'node:events';
import { cpSync, existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';
import { readLog } from '../toolchain/helpers.ts';
import { fakeToolkit, gone, run, runMany, scratchFolder, snapshot, sourcesOnly, start, tinyPlan } from './support.ts';

const toolkit = fakeToolkit();
const args = (folder: string): string[] => [tinyPlan, '--nvcc', toolkit, '--arch', 'sm_80,sm_90', '--no-cache', '-o', folder];

const old = join(scratchFolder(), 'package');
const temporary = scratchFolder();

beforeAll(() => {
  expect(run([tinyPlan, ...sourcesOnly, '-o', old])).toMatchObject({ status: 0 });
});

/** A folder with the old package in it. */
function place(): string {
  const folder = join(scratchFolder(), 'package');
  cpSync(old, folder, { recursive: true });
  return folder;
}

function expectUntouched(folder: string): void {
  expect(snapshot(folder)).toEqual(snapshot(old));
  expect(readdirSync(dirname(folder))).toEqual(['package']);
  expect(readdirSync(temporary)).toEqual([]);
}

test('whatever nvcc does, the package from before stays, and nothing else', () => {
  const faults = [
    ['truncated', 'MOA4104', 'nvcc reported success'],
    ['spill', 'MOA4105', 'bytes of spill stores'],
    ['error', 'MOA4101', 'identifier "foo" is undefined'],
    ['crash', 'MOA4103', 'killed by SIGSEGV'],
  ] as const;
  const folders = faults.map(place);
  const results = runMany(faults.map(([fault], index) => ({ args: args(folders[index]!), variables: { FAKE_FAULT: fault, TMPDIR: temporary } })));
  faults.forEach(([fault, code, message], index) => {
    const { status, stdout, stderr } = results[index]!;
    expect({ status, stdout }, fault).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^error ${code}: `, 'm'));
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/MOA9001|\n {4}at /);
    expectUntouched(folders[index]!);
  });
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s while nvcc runs: the package from before stays, and nothing else', async (signal) => {
  const folder = place();
  const log = join(scratchFolder(), 'log');
  const child = start(args(folder), { FAKE_FAULT: 'hang', FAKE_NVCC_LOG: log, TMPDIR: temporary });
  let stderr = '';
  child.stderr!.on('data', (chunk) => (stderr += chunk));
  const children = (): number[] => (existsSync(log) ? readLog(log).flatMap((line) => (typeof line['child'] === 'number' ? [line['child']] : [])) : []);
  while (children().length === 0) await sleep(20);
  child.kill(signal);
  // Ended as by the signal, so that shells and make stop too; a shell sees 128 and its number.
  expect(await once(child, 'close')).toEqual([null, signal]);
  expect(stderr).toBe('interrupted; the output is as it was, or whole\n');
  for (const pid of children()) await gone(pid);
  expectUntouched(folder);
});

test('the second compile takes everything from the cache, --no-cache nothing, and the packages are the same', () => {
  const folder = scratchFolder();
  const variables = { XDG_CACHE_HOME: join(folder, 'cache') };
  const cached = (name: string, ...more: string[]): string[] => [tinyPlan, '--nvcc', toolkit, '--arch', 'sm_80,sm_90', '--json', '-o', join(folder, name), ...more];
  const [first, second, without, list, clear] = runMany([cached('a'), cached('b'), cached('c', '--no-cache'), ['cache', 'ls'], ['cache', 'clear']], { variables });
  const units = [first, second, without].map((result) => (JSON.parse(result!.stdout) as { units: unknown }).units);
  expect(units).toEqual([{ total: 2, cached: 0 }, { total: 2, cached: 2 }, { total: 2, cached: 0 }]);
  for (const name of ['b', 'c']) expect(snapshot(join(folder, name))).toEqual(snapshot(join(folder, 'a')));
  expect(list!.stdout).toMatch(/^[0-9a-f]{64} .*\n[0-9a-f]{64} .*\n2 entries, /);
  expect(clear!.stdout).toMatch(/removed 2 entries, [^\n]*\n$/);
});

test('a package with machine code is current for --check without nvcc; a source that changed is not hidden by it', () => {
  const folder = join(scratchFolder(), 'package');
  const [made, current, otherPlan] = runMany([
    args(folder),
    [...args(folder), '--check', '--nvcc', '/nowhere'],
    [...args(folder), '--check', '--nvcc', '/nowhere', '--no-rope'],
  ]);
  expect(made).toMatchObject({ status: 0 });
  expect(current).toEqual({ status: 0, stdout: `${folder} is current\n`, stderr: expect.stringMatching(/^note MOA2004: machine code is not compared /) });
  expect(otherPlan).toMatchObject({ status: 1, stderr: expect.stringMatching(/_rope\.cu: error MOA2003: extra/) });
});

test('warnings of a compile that succeeds go to stderr, and -q hides them', () => {
  const variables = { NVCC_APPEND_FLAGS: '-G' };
  const [said, quiet] = runMany([[], ['-q']].map((more) => [...args(join(scratchFolder(), 'package')), ...more]), { variables });
  expect(said).toMatchObject({ status: 0, stderr: expect.stringMatching(/^warning MOA4003: NVCC_APPEND_FLAGS is set/) });
  expect(quiet).toEqual({ status: 0, stdout: '', stderr: '' });
});
