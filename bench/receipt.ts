/**
 * Turns the results of `bench/gpu.sh` into what is committed: a receipt, which says for each kernel which source ran on the GPU, how exact
 * and how fast.
 *
 *     node dist-bench/receipt.js RESULTS name=folder ...
 *
 * Writes `bench/receipts/<gpu>.json`.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sourceHash } from 'moa-compile';
import { readDefinition } from 'moa-compile/runtime';

interface Speeds {
  readonly device: string;
  readonly rows: readonly { readonly name: string; readonly kind: string; readonly tokens: number; readonly batch: number; readonly ms: number; readonly rate: number }[];
}

const [results, ...packages] = process.argv.slice(2);
if (results === undefined || packages.length === 0) throw new Error('usage: receipt RESULTS name=folder ...');
const read = (name: string): unknown => JSON.parse(readFileSync(join(results, name), 'utf8'));
const speeds = read('speed.json') as Speeds;
const tests = read('tests.json') as { readonly device: string; readonly cases: number; readonly largestErrorMultiple: number; readonly failures: readonly unknown[] };
if (tests.device !== speeds.device || tests.failures.length > 0) throw new Error('tests failed, or ran on another GPU');

/** The CUDA sources of a package by path. */
function sourcesOf(folder: string): Map<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => /\.(cu|cuh)$/.test(path));
  return new Map(paths.map((path) => [path.replaceAll('\\', '/'), readFileSync(join(folder, path), 'utf8')]));
}

const kernels: Record<string, unknown> = {};
for (const argument of packages) {
  const [name, folder] = argument.split('=') as [string, string];
  const sources = sourcesOf(folder);
  const definition = readDefinition(join(folder, 'definition.json'));
  for (const kernel of definition.kernels) {
    const measured = speeds.rows.filter((row) => row.name === name && kernel.role === row.kind);
    kernels[kernel.name] = { source: sourceHash(sources, kernel.name), measured: measured.map(({ kind: _kind, ...row }) => row) };
  }
}
const file = `${speeds.device.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')}.json`;
mkdirSync('bench/receipts', { recursive: true });
writeFileSync(join('bench/receipts', file), `${JSON.stringify({ device: speeds.device, command: 'bench/gpu.sh', tests, kernels }, null, 1)}\n`);
