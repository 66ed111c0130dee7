/**
 * `kill -9` at any moment: the next start removes what it left, and nothing of a run that is alive.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { processMark } from '../../src/util/processMark.ts';
import { syntheticProfile } from '../search/support.ts';
import { readLog } from '../toolchain/helpers.ts';
import { fakeToolkit, gone, run, scratchFolder, start, tinyPlan } from './support.ts';

const toolkit = fakeToolkit();
const args = (folder: string): string[] => [
  tinyPlan,
  '--nvcc',
  toolkit,
  '--arch',
  'sm_80',
  '-o',
  folder,
];
const dead = `${processMark().host}-999999999-5-0123456789ab`;

/** Waits until nvcc runs; returns the group of its processes. */
async function compiling(log: string): Promise<number> {
  const children = (): number[] =>
    existsSync(log)
      ? readLog(log).flatMap((line) => (typeof line['child'] === 'number' ? [line['child']] : []))
      : [];
  while (children().length === 0) await sleep(20);
  const stat = readFileSync(`/proc/${children()[0]}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
}

test('while nvcc runs', async () => {
  const [folder, temporary] = [scratchFolder(), scratchFolder()];
  const variables = { FAKE_FAULT: 'hang', TMPDIR: temporary };
  const logs = ['killed', 'alive'].map((name) => join(folder, name));
  const [killed, alive] = logs.map((log, index) =>
    start(args(join(folder, `package${index}`)), { ...variables, FAKE_NVCC_LOG: log }),
  );
  const groups = [await compiling(logs[0]!), await compiling(logs[1]!)];
  expect(
    readdirSync(temporary).filter((name) => name.startsWith('moa-compile-build-')),
  ).toHaveLength(2);
  killed!.kill('SIGKILL');
  await once(killed!, 'close');
  // nvcc has a group of its own, and outlives it.
  process.kill(-groups[0]!, 'SIGKILL');
  await gone(groups[0]!);

  // Any command is a start.
  expect(run(['inspect', tinyPlan], { variables: { TMPDIR: temporary } })).toMatchObject({
    status: 0,
  });
  const left = readdirSync(temporary).filter((name) => name.startsWith('moa-compile-build-'));
  expect(left).toHaveLength(1);
  expect(left[0]).toContain(`-${alive!.pid}-`);
  alive!.kill('SIGTERM');
  await once(alive!, 'close');
  expect(readdirSync(temporary)).toEqual([]);
});

test('beside the output, in the cache, and beside the plan of a search', () => {
  const [folder, cache] = [scratchFolder(), scratchFolder()];
  const profile = syntheticProfile({
    layers: 1,
    queryHeads: 2,
    kvHeads: 2,
    lengths: [512],
    seed: 2,
  }).path;
  const variables = { XDG_CACHE_HOME: cache };
  expect(run(args(join(folder, 'package')), { variables })).toMatchObject({ status: 0 });
  mkdirSync(join(cache, 'moa-compile', 'libraries'), { mode: 0o700 });
  for (const name of [`.package.tmp-${dead}`, `.another.tmp-${dead}`])
    mkdirSync(join(folder, name));
  const files = [
    join(folder, `plan.json.${dead}.part`),
    ...['v1', 'libraries'].map((name) => join(cache, 'moa-compile', name, `.tmp-${dead}`)),
  ];
  for (const file of files) writeFileSync(file, '');

  expect(run(args(join(folder, 'package')), { variables })).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('unchanged '),
  });
  expect(
    run(['search', profile, '-o', join(folder, 'plan.json'), '--density', '0.5'], { variables }),
  ).toMatchObject({ status: 0 });
  expect(readdirSync(folder).sort()).toEqual(['package', 'plan.json']);
  expect(files.map(existsSync)).toEqual([false, false, false]);
});
