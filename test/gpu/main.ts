/**
 * The property tests on a GPU, as one program without packages (`scripts/bundle-gpu-tests.mjs` makes it):
 *
 *     node gpu-tests.mjs sources <folder>                        writes <shape>.cu for nvcc
 *     node gpu-tests.mjs run <folder> [--part 0/8] [--json FILE] [--only TEXT]
 *                                                               runs on cuda:0 with <shape>.cubin; --only: jobs with TEXT in their name
 *
 * MOA_PROPERTY_RUNS scales the number of random cases, MOA_PROPERTY_SEED draws others, MOA_PLANS names the folder of published plans.
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { newTally } from '../properties/checkRows.ts';
import { cudaTarget } from '../properties/harness.ts';
import { makeJobs, type Job } from './jobs.ts';
import { writeSources } from './packages.ts';

interface Failure {
  readonly job: string;
  readonly message: string;
}

const [command, folder, ...rest] = process.argv.slice(2);
const option = (name: string): string | undefined => (rest.includes(name) ? rest[rest.indexOf(name) + 1] : undefined);

if (command === 'sources' && folder !== undefined) {
  writeSources(folder);
} else if (command === 'run' && folder !== undefined) {
  process.exitCode = await runJobs(folder);
} else {
  console.error('usage: gpu-tests.mjs sources <folder> | run <folder> [--part i/n] [--json file] [--only text]');
  process.exitCode = 2;
}

async function runJobs(packages: string): Promise<number> {
  const seed = Number(process.env['MOA_PROPERTY_SEED'] ?? 20261124);
  const [part, parts] = (option('--part') ?? '0/1').split('/').map(Number) as [number, number];
  const jobs = makeJobs(seed, Number(process.env['MOA_PROPERTY_RUNS'] ?? 1), process.env['MOA_PLANS'])
    .filter(({ name }) => name.includes(option('--only') ?? ''))
    .filter((_, n) => n % parts === part);
  const target = cudaTarget('cuda:0', pathToFileURL(`${packages}/`));
  const device = await target.device();
  const total = newTally();
  const failures: Failure[] = [];
  let worst: Job | undefined;
  const start = performance.now();
  for (const job of jobs) {
    const before = performance.now();
    try {
      const tally = await job.run(target);
      if (tally) {
        total.rows += tally.rows;
        total.lseShare = Math.max(total.lseShare, tally.lseShare);
        if (tally.multiple > total.multiple) [total.multiple, worst] = [tally.multiple, job];
      }
    } catch (error) {
      const message = (error as Error).message;
      failures.push({ job: job.name, message });
      console.log(`FAILED ${job.name}: ${message}`);
    }
    const seconds = (performance.now() - before) / 1000;
    if (seconds > 5) console.log(`${job.name}: ${seconds.toFixed(1)} s`);
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`${device.name}, part ${part}/${parts}: ${jobs.length} cases, ${failures.length} failed, ${total.rows} rows, largest error ${total.multiple.toFixed(2)} x the plain computation's (2 allowed), LSE ${(100 * total.lseShare).toFixed(1)} % of its limit, ${seconds.toFixed(0)} s`);
  const json = option('--json');
  if (json !== undefined) writeFileSync(json, `${JSON.stringify({ device: device.name, part, parts, seed, cases: jobs.length, ...total, worst: worst?.name, failures, seconds }, null, 2)}\n`);
  return failures.length === 0 ? 0 : 1;
}
