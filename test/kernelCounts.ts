/** Counts the kernels that tests build for the emulator, or take from the cache. A test file's counts go to the run's folder. */
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { scratchRoot } from './scratchRoot.ts';

interface Build {
  readonly name: string;
  readonly cached: boolean;
  readonly seconds: number;
}

const builds: Build[] = [];
subscribe('moa-compile:host-build', (build) => void builds.push(build as Build));

afterAll(() => {
  if (builds.length > 0) appendFileSync(join(scratchRoot(), 'kernels.jsonl'), `${JSON.stringify(builds.splice(0))}\n`);
});
