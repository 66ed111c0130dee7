/** A search that is interrupted: nothing half-written, no Python left behind, and the same command goes on. */
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { syntheticProfile } from '../search/support.ts';
import { answersOne, fakePythons, makesProfile, stages } from './fakePython.ts';
import { gone, run, scratchFolder, start } from './support.ts';

/** Starts a search, sends it `signal` when `ready` is so, and says how it ended. */
async function interrupted(args: readonly string[], signal: NodeJS.Signals, ready: () => boolean): Promise<{ readonly ended: unknown; readonly stderr: string }> {
  const child = start(args, {});
  let stderr = '';
  child.stderr!.on('data', (chunk) => (stderr += chunk));
  while (!ready() && child.exitCode === null) await sleep(20);
  child.kill(signal);
  return { ended: await once(child, 'close'), stderr };
}

const says = /^python: .*\ninterrupted; the output is as it was, or whole\n$/;
const validated = ['--validate', '256', '--plans', '1'];
const { root, fakePython, calls, search } = fakePythons();
const good = fakePython('good', stages(makesProfile, answersOne));

describe.each(['SIGINT', 'SIGTERM'] as const)('%s', (signal) => {
  test.each([
    ['profile', ['profile.safetensors.key'], ['check', 'profile', 'validate']],
    ['validate', ['profile.safetensors', 'profile.safetensors.key', 'request.json', 'validation.json.key'], ['check', 'validate']],
  ])('while Python is at %s', async (stage, left, goesOn) => {
    const folder = scratchFolder();
    const [plan, process] = [join(folder, 'plan.json'), join(root, `${signal} ${stage}`)];
    const waits = `echo $$ > '${process}'; trap 'echo told to end >> "${process}"; exit 143' TERM; while :; do sleep 0.02; done`;
    const slow = fakePython('slow', stages(stage === 'profile' ? waits : makesProfile, waits));
    const told = (): string[] => (existsSync(process) ? readFileSync(process, 'utf8').trim().split('\n') : []);
    const { ended, stderr } = await interrupted(search(plan, slow, ...validated, '--report', join(folder, 'report.html')), signal, () => Number(told()[0]) > 0);
    // Ended as by the signal; a shell sees 128 and its number.
    expect(ended).toEqual([null, signal]);
    expect(stderr).toMatch(says);
    await gone(Number(told()[0]));
    expect(told().slice(1)).toEqual(['told to end']);
    expect(readdirSync(folder)).toEqual(['plan.json.search']);
    expect(readdirSync(join(folder, 'plan.json.search')).sort()).toEqual(left);
    calls();
    expect(run(search(plan, good, ...validated))).toMatchObject({ status: 0 });
    expect(calls()).toEqual(goesOn);
  });

  test('while plans are searched', async () => {
    const folder = scratchFolder();
    const [plan, profile] = [join(folder, 'plan.json'), join(folder, 'plan.json.search', 'profile.safetensors')];
    // Its front takes minutes.
    const large = syntheticProfile({ layers: 24, queryHeads: 16, kvHeads: 16, lengths: [512, 1024, 2048], seed: 4 }).path;
    const python = fakePython('of a large model', stages(`cp '${large}' "$out"`, 'exit 1'));
    const bounds = ['--density', '0.4', '--report', join(folder, 'report.html')];
    let from = 0;
    const searches = (): boolean => {
      if (from === 0 && existsSync(profile)) from = performance.now();
      return from > 0 && performance.now() - from > 1500;
    };
    const { ended, stderr } = await interrupted(search(plan, python, ...bounds, '--front'), signal, searches);
    expect(ended).toEqual([null, signal]);
    expect(stderr).toMatch(says);
    expect(readdirSync(folder)).toEqual(['plan.json.search']);
    expect(readdirSync(join(folder, 'plan.json.search')).sort()).toEqual(['profile.safetensors', 'profile.safetensors.key']);
    calls();
    expect(run(search(plan, python, ...bounds))).toMatchObject({ status: 0 });
    expect(calls()).toEqual(['check']);
    expect(readdirSync(folder).sort()).toEqual(['plan.json', 'plan.json.search', 'report.html']);
  });
});
