/** What killed processes leave is removed; what living ones use, and what others own, is not. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { markedName, parseMarkedName, processMark, stateOf } from '../../src/util/processMark.ts';
import { removeStale } from '../../src/util/removeStale.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const { host, pid, start } = processMark();
const random = '0123456789ab';
/** No process has this number. */
const dead = `${host}-999999999-5-${random}`;
const prefix = 'temporary-';

function leftovers(...names: readonly string[]): string {
  const folder = scratchFolder();
  for (const name of names) {
    mkdirSync(join(folder, name, 'inside'), { recursive: true });
    writeFileSync(join(folder, name, 'inside', 'file'), '');
  }
  return folder;
}

test('a mark names this process, and no two names are equal', () => {
  const [first, second] = [markedName(), markedName()];
  expect(first).not.toBe(second);
  expect(parseMarkedName(first)).toEqual({ host, pid: process.pid, start });
  expect(start).toBeGreaterThan(0);
  expect(stateOf(parseMarkedName(first)!)).toBe('own');
});

test.each([
  '',
  'notes',
  `${host}-1`,
  `${host}-1-2-3-${random}`,
  `${host}-x-${random}`,
  `../${dead}`,
  `${dead}/x`,
  `${dead}0`,
])('%j is no mark', (text) => {
  expect(parseMarkedName(text)).toBeUndefined();
});

describe('whose it is', () => {
  test('a process that ended, and a number that is used again', async () => {
    const child = spawn('sleep', ['60']);
    const at = Number(
      spawnSync('sh', ['-c', `cut -d' ' -f22 /proc/${child.pid}/stat`], { encoding: 'utf8' })
        .stdout,
    );
    expect(stateOf({ host, pid: child.pid!, start: at })).toBe('alive');
    expect(stateOf({ host, pid: child.pid! })).toBe('alive');
    expect(stateOf({ host, pid: child.pid!, start: at - 1 })).toBe('dead');
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(stateOf({ host, pid: child.pid!, start: at })).toBe('dead');
  });

  test('the number of this process, of another start', () => {
    expect(stateOf({ host, pid, start: start! - 1 })).toBe('dead');
  });

  test('a zombie is dead', async () => {
    // The shell starts a child, and becomes a program that never asks for it.
    const parent = spawn('sh', ['-c', 'sleep 0.01 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [chunk] = (await once(parent.stdout, 'data')) as [Buffer];
    const zombie = Number(chunk.toString());
    for (let attempt = 0; attempt < 100 && stateOf({ host, pid: zombie }) === 'alive'; attempt += 1)
      await sleep(20);
    expect(stateOf({ host, pid: zombie })).toBe('dead');
    parent.kill('SIGKILL');
  });

  test('another host or container', () => {
    expect(stateOf({ host: '00000000', pid: 999_999_999, start: 5 })).toBe('elsewhere');
  });
});

describe('removing', () => {
  test('of dead processes, folders and files; nothing else', () => {
    const alive = `${host}-${process.ppid}-${random}`;
    const folder = leftovers(
      prefix + dead,
      prefix + alive,
      prefix + markedName(),
      dead,
      `${prefix}notes`,
      `other-${dead}`,
      `${prefix}00000000-999999999-5-${random}`,
    );
    writeFileSync(join(folder, `${prefix}${dead.slice(0, -1)}f`), '');
    removeStale(folder, { prefix });
    const left = readdirSync(folder);
    expect(left).toHaveLength(6);
    expect(
      left.filter((name) => name.startsWith(prefix + host) && name.includes('999999999')),
    ).toEqual([]);
  });

  test('of another host only when it is old, and only where that is asked for', () => {
    const name = `${prefix}00000000-999999999-5-${random}`;
    const folder = leftovers(name);
    removeStale(folder, { prefix, elsewhereMs: 60_000 });
    expect(existsSync(join(folder, name))).toBe(true);
    utimesSync(join(folder, name), 1, 1);
    removeStale(folder, { prefix });
    expect(existsSync(join(folder, name))).toBe(true);
    removeStale(folder, { prefix, elsewhereMs: 60_000 });
    expect(existsSync(join(folder, name))).toBe(false);
  });

  test('links are neither followed nor removed, inside a leftover they are removed as links', () => {
    const precious = leftovers('work');
    const folder = leftovers(prefix + dead);
    symlinkSync(precious, join(folder, `${prefix}${dead.slice(0, -1)}c`));
    symlinkSync(precious, join(folder, prefix + dead, 'link'));
    removeStale(folder, { prefix });
    expect(readdirSync(folder)).toEqual([`${prefix}${dead.slice(0, -1)}c`]);
    expect(existsSync(join(precious, 'work', 'inside', 'file'))).toBe(true);
  });

  test('not in a folder where anyone may exchange what is not theirs', () => {
    const folder = leftovers(prefix + dead);
    chmodSync(folder, 0o777);
    removeStale(folder, { prefix });
    expect(readdirSync(folder)).toEqual([prefix + dead]);
    chmodSync(folder, 0o1777);
    removeStale(folder, { prefix });
    expect(readdirSync(folder)).toEqual([]);
  });

  test.skipIf(process.getuid?.() !== 0)("not what is another user's", () => {
    const folder = leftovers(prefix + dead);
    chownSync(join(folder, prefix + dead), 65534, 65534);
    removeStale(folder, { prefix });
    expect(readdirSync(folder)).toEqual([prefix + dead]);
  });

  test('a folder that is absent is no error', () => {
    expect(() => removeStale('/nowhere/at/all', { prefix })).not.toThrow();
  });
});
