/**
 * How even ranks are under tensor parallelism: contiguous blocks of heads beside the compiler's assignment, as `inspect --tp` shows it. Needs no GPU.
 *
 *     npm run build:bench && node dist-bench/tensorParallel/balance.js name=plan.json ...
 *
 * The config of a plan is `examples/<name>/config.json`. Two random plans follow, in the steps of the MoA authors' search, of the shapes of large models.
 * Writes bench/results/tensor-parallel.json and prints the table of docs/tensor-parallel.md.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { assignRanks, balancedLengths, DiagnosticError, DiagnosticList, inspectRanks, readPlan, type ReadPlan } from 'moa-compile';
import { randomNumbers } from '../lib/random.ts';
import { writeJson } from '../lib/writeJson.ts';
import { balanceTable, type Row } from './table.ts';

const resultPath = 'bench/results/tensor-parallel.json';
const given = process.argv.slice(2).map((argument) => {
  const match = /^([\w.-]+)=(.+)$/.exec(argument);
  if (match === null) throw new Error(`'${argument}' is not of the form name=plan.json`);
  return { name: match[1]!, path: match[2]! };
});

interface Plan {
  readonly name: string;
  readonly text: string;
  readonly read: ReadPlan;
}

function readPublished({ name, path }: { readonly name: string; readonly path: string }): Plan {
  const text = readFileSync(path, 'utf8');
  const config = `examples/${name}/config.json`;
  return { name, text, read: readOrThrow(text, { text: readFileSync(config), file: config }, {}) };
}

/** Slopes in eighths and constants in steps of 512 tokens, drawn for each query head. */
function randomPlan(layers: number, queryHeads: number, kvHeads: number): Plan {
  const random = randomNumbers(layers * 1000 + queryHeads + kvHeads);
  const matrix = (draw: () => number): number[][] => Array.from({ length: layers }, () => Array.from({ length: queryHeads }, draw));
  const text = JSON.stringify({ alphas: matrix(() => Math.floor(random() * 17 - 4) * 512), betas: matrix(() => Math.floor(random() * 9) / 8) });
  return { name: `random, ${layers} x ${queryHeads}`, text, read: readOrThrow(text, undefined, { kvHeads, headDim: 128 }) };
}

function readOrThrow(text: string, config: Parameters<typeof readPlan>[1], flags: Parameters<typeof readPlan>[2]): ReadPlan {
  const diagnostics = new DiagnosticList();
  const read = readPlan({ text, file: 'plan.json' }, config, flags, diagnostics);
  if (read === undefined) throw new DiagnosticError(diagnostics.toArray(), 2);
  return read;
}

function measure({ name, read }: Plan, ranks: number): Row {
  const { layers, queryHeads, kvHeads } = read.module.shape;
  const begin = performance.now();
  const assignment = assignRanks(read.module, ranks);
  const milliseconds = Math.round(performance.now() - begin);
  const figures = inspectRanks(read.module, assignment, balancedLengths);
  return { plan: name, layers, queryHeads, kvHeads, ranks, milliseconds, provenLayers: figures.provenLayers, lengths: figures.lengths };
}

const plans = [...given.map(readPublished), randomPlan(80, 64, 8), randomPlan(80, 64, 64)];
const rows = plans.flatMap((plan) => [2, 4, 8].map((ranks) => measure(plan, ranks)));
writeJson(resultPath, {
  command: `node dist-bench/tensorParallel/balance.js ${given.map(({ name }) => `${name}=plan.json`).join(' ')}`,
  balancedLengths,
  plans: plans.map(({ name, text }) => ({ name, sha256: createHash('sha256').update(text).digest('hex') })),
  rows,
});
console.log(balanceTable(rows, 16384));
for (const { plan, kvHeads, ranks, milliseconds, provenLayers, layers } of rows) console.log(`${plan}, ${kvHeads} KV heads, ${ranks} ranks: ${milliseconds} ms, ${provenLayers} of ${layers} layers proven`);
console.log(`written to ${resultPath}`);
