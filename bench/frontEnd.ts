/**
 * How long the front end takes: plan text to package text (IR, CUDA sources, runtime, manifest), without nvcc and without the disk.
 *
 *     npm run bench:front
 *
 * The plan is random, in the MoA authors' format, pretty-printed: no two layers are alike, so this is the worst case for the printers.
 * The first run of the process is listed apart, since that is what a command line waits for. Medians are of 20 runs after 5.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { performance } from 'node:perf_hooks';
import { compile, compilePackage, DiagnosticList, findArchitecture, version, type PassEvent } from 'moa-compile';
import { randomNumbers } from './lib/random.ts';
import { median } from './lib/statistics.ts';

interface Size {
  readonly layers: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  /** The most that the median may be. */
  readonly targetMs: number;
}

interface Row extends Size {
  readonly planBytes: number;
  readonly packageBytes: number;
  /** Undefined but for the size that ran first in the process. */
  readonly coldMs?: number;
  readonly medianMs: number;
  readonly slowestMs: number;
  /** Of the passes alone. */
  readonly passesMs: number;
}

const sizes: readonly Size[] = [
  { layers: 32, queryHeads: 32, kvHeads: 8, targetMs: 150 },
  { layers: 80, queryHeads: 64, kvHeads: 8, targetMs: 400 },
];
const architectureNames = ['sm_80', 'sm_90'];
const [warmUps, runs] = [5, 20];
const resultPath = 'bench/results/front-end.json';

/** A plan as the authors' search writes them: slopes in eighths and constants in steps of 512 tokens, drawn for each head. */
function randomPlan({ layers, queryHeads }: Size): string {
  const random = randomNumbers(layers * 1000 + queryHeads);
  const matrix = (draw: () => number): number[][] => Array.from({ length: layers }, () => Array.from({ length: queryHeads }, draw));
  const alphas = matrix(() => Math.floor(random() * 17 - 4) * 512);
  const betas = matrix(() => Math.floor(random() * 9) / 8);
  return JSON.stringify({ alphas, betas }, undefined, 4);
}

/** One whole compilation. Returns the bytes of the package and the milliseconds of its passes. */
async function compileOnce(text: string, size: Size): Promise<{ readonly bytes: number; readonly passesMs: number }> {
  const diagnostics = new DiagnosticList();
  let passesMs = 0;
  const compiled = compile(
    { text, file: 'plan.json' },
    undefined,
    {
      architectures: architectureNames.map((name) => findArchitecture(name)!),
      model: { kvHeads: size.kvHeads, headDim: 128, elementType: 'bf16' },
      observe: ({ milliseconds }: PassEvent) => void (passesMs += milliseconds),
    },
    diagnostics,
  );
  if (compiled === undefined) throw new Error(JSON.stringify(diagnostics.toArray(), undefined, 1));
  const targets = architectureNames.map((name) => ({ name, ptx: false }));
  const { files } = await compilePackage(compiled, { emit: new Set(['ir', 'cuda', 'ts'] as const), targets, planText: text, version });
  const bytes = [...files.files.values()].reduce((sum, content) => sum + content.length, 0);
  return { bytes, passesMs };
}

async function measure(size: Size, cold: boolean): Promise<Row> {
  const text = randomPlan(size);
  const times: number[] = [];
  const passes: number[] = [];
  let packageBytes = 0;
  for (let run = 0; run < warmUps + runs; run += 1) {
    const start = performance.now();
    const { bytes, passesMs } = await compileOnce(text, size);
    times.push(performance.now() - start);
    passes.push(passesMs);
    packageBytes = bytes;
  }
  const warm = times.slice(warmUps);
  const rounded = (ms: number): number => Math.round(ms * 10) / 10;
  return {
    ...size,
    planBytes: text.length,
    packageBytes,
    ...(cold ? { coldMs: rounded(times[0]!) } : {}),
    medianMs: rounded(median(warm)),
    slowestMs: rounded(Math.max(...warm)),
    passesMs: rounded(median(passes.slice(warmUps))),
  };
}

const rows: Row[] = [];
for (const size of sizes) rows.push(await measure(size, rows.length === 0));

const KiB = (bytes: number): string => `${(bytes / 1024).toFixed(0)} KiB`;
console.log('layers x heads  plan     package   first run  median    slowest   passes    target');
for (const row of rows) {
  const ms = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(1)} ms`).padEnd(10);
  const shape = `${row.layers} x ${row.queryHeads}`.padEnd(16);
  const verdict = row.medianMs < row.targetMs ? 'met' : 'MISSED';
  console.log(`${shape}${KiB(row.planBytes).padEnd(9)}${KiB(row.packageBytes).padEnd(9)} ${ms(row.coldMs)} ${ms(row.medianMs)}${ms(row.slowestMs)}${ms(row.passesMs)}${row.targetMs} ms: ${verdict}`);
}
mkdirSync('bench/results', { recursive: true });
const processor = cpus()[0]?.model ?? 'unknown';
writeFileSync(resultPath, `${JSON.stringify({ command: 'npm run bench:front', node: process.version, processor, architectures: architectureNames, rows }, undefined, 2)}\n`);
console.log(`written to ${resultPath}`);
if (rows.some((row) => row.medianMs >= row.targetMs)) process.exitCode = 1;
