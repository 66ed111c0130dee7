/**
 * Measures a ladder package (latencyPlan.ts) and writes latency tables for the search: the time of one KV head of one layer, of one sequence, by length and span.
 *
 *     node dist-bench/search/measureLatency.js OUT PACKAGE [options]
 *
 *     --lengths 1024,2048,4096    N; multiples of 64 that the ladder reaches
 *     --phases decode,prefill     or one of them
 *     --batch 8                   sequences of decode. Prefill is of one prompt of N tokens
 *     --replays 25                of decode graphs, of which the median is taken; at most 63
 *     --sessions 16               of decode, at most: short spans need several to read more than the GPU's cache holds
 *     --device cuda:0             or emulator, to try the program
 *
 * A *launch* is what a model calls for a layer: in decode append and attention in one kernel, with rings full; in prefill append and attention behind it. Its
 * time is divided by sequences times KV heads. Writes OUT-decode.json and OUT-prefill.json, the tables, and OUT-rows.json, what was measured, which is complete
 * after each row. Ends with 1 when a point failed.
 */
import { parseArgs } from 'node:util';
import { Device } from 'moa-compile/runtime';
import { numbers } from '../lib/arguments.ts';
import { table } from '../lib/markdown.ts';
import { openPackage } from '../lib/packages.ts';
import { writeJson } from '../lib/writeJson.ts';
import { isMeasured, latencyTable, type LatencyPhase, type LatencyRow } from './latencyRows.ts';
import { measureSpans } from './measureSpans.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    lengths: { type: 'string', default: '1024,2048,4096' },
    phases: { type: 'string', default: 'decode,prefill' },
    batch: { type: 'string', default: '8' },
    replays: { type: 'string', default: '25' },
    sessions: { type: 'string', default: '16' },
    device: { type: 'string', default: 'cuda:0' },
  },
});
const [out, folder] = positionals;
if (out === undefined || folder === undefined) throw new Error('usage: measureLatency OUT PACKAGE [options]');
const lengths = numbers(values.lengths).sort((a, b) => a - b);
const batch = Number(values.batch);
const phases = (['decode', 'prefill'] as const).filter((phase) => values.phases.split(',').includes(phase));

const device = await Device.open(values.device as 'cuda:0');
const module = openPackage(folder);
const plan = await module.load(device);
const { shape, cubins } = plan.definition;
const rows: LatencyRow[] = [];

function add(row: LatencyRow): void {
  rows.push(row);
  console.log(isMeasured(row) ? `${row.phase} N=${row.length} span=${row.span}: ${row.launchUs} us, ${row.us} a head` : `${row.phase} N=${row.length} span=${row.span}: ${row.error}`);
  writeJson(`${out}-rows.json`, { device: device.name, shape: { queryHeads: shape.queryHeads, kvHeads: shape.kvHeads, headDim: shape.headDim }, batch, rows });
}

measureSpans(device, plan, { lengths, phases, batch, replays: Number(values.replays), sessions: Number(values.sessions) }, add);

const kernels = `${plan.elementTypes[0]}, ${Object.keys(cubins).join() || 'sources'}`;
const meaning: Readonly<Record<LatencyPhase, string>> = {
  decode: `append + attention of one token of ${batch} sequences with full rings, over ${batch} x ${shape.kvHeads} KV heads`,
  prefill: `append + attention of one prompt, over ${shape.kvHeads} KV heads`,
};
for (const phase of phases) {
  const command = `bench/search/latency.sh, ${shape.queryHeads}x${shape.kvHeads}x${shape.headDim}=${lengths.join()}, ${kernels}: ${meaning[phase]}`;
  const made = latencyTable(rows, phase, { device: device.name, shape, command });
  writeJson(`${out}-${phase}.json`, made);
  const spans = [...new Set(made.lengths.flatMap((entry) => entry.spans))].sort((a, b) => a - b);
  const cell = (span: number, length: number): string => {
    const row = rows.filter(isMeasured).find((one) => one.phase === phase && one.length === length && one.span === span);
    return row === undefined ? '-' : `${row.us} (${row.launchUs.toFixed(1)}${row.tbps === undefined ? '' : `, ${row.tbps.toFixed(2)} TB/s`})`;
  };
  console.log(`\n${made.command}\n\n${phase}: us a KV head (us a launch${phase === 'decode' ? ', TB/s of KV pages' : ''}), as measured\n`);
  console.log(table(['span', ...made.lengths.map(({ length }) => `N = ${length}`)], spans.map((span) => [`${span}`, ...made.lengths.map(({ length }) => cell(span, length))])));
}
plan.dispose();
device.dispose();
process.exitCode = rows.length > 0 && rows.every(isMeasured) ? 0 : 1;
