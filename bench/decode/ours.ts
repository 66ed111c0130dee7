/**
 * Decode of packages over N and batch: microseconds a layer, and TB/s of KV pages in use.
 *
 *     node dist-bench/decode/ours.js OUT.json [options] plan=variant:folder ...
 *
 *     --lengths 4096,16384    N; 4096, 8192, 16384 and 32768 by default
 *     --batches 1,8           1, 2, 4 ... 64 by default
 *     --replays 25            of which the median is taken, at most: 15 where one layer is measured four times over
 *     --device cuda:0         or emulator, to try the program
 *
 * A point that fails is a row that says why. OUT.json is complete after each row.
 */
import { parseArgs } from 'node:util';
import { Device } from 'moa-compile/runtime';
import { numbers, parsePackage } from '../lib/arguments.ts';
import { disposeAll } from '../lib/buffers.ts';
import { openPackage } from '../lib/packages.ts';
import { writeJson } from '../lib/writeJson.ts';
import { layersToMeasure, measureDecode, promptOf } from './measureDecode.ts';
import { isMeasured, type OursFile, type Row } from './results.ts';

/** Less than a GPU of 141 GB has, so that the prompt fits beside it. */
const mostBytes = 100 * 2 ** 30;

interface MutableFacts {
  layers: number;
  queryHeads: number;
  kvHeads: number;
  headDim: number;
  sink: number;
  windows: Record<number, Record<number, readonly number[]>>;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    lengths: { type: 'string', default: '4096,8192,16384,32768' },
    batches: { type: 'string', default: '1,2,4,8,16,32,64' },
    replays: { type: 'string', default: '25' },
    device: { type: 'string', default: 'cuda:0' },
  },
});
const [out, ...packages] = positionals;
if (out === undefined || packages.length === 0) throw new Error('usage: ours OUT.json [options] plan=variant:folder ...');

const device = await Device.open(values.device as 'cuda:0');
const plans: Record<string, MutableFacts> = {};
const rows: Row[] = [];

function add(row: Row): void {
  rows.push(row);
  const result = isMeasured(row) ? `${row.us.toFixed(1).padStart(8)} us  ${row.tbps.toFixed(2)} TB/s` : row.error;
  console.log(`${row.plan.padEnd(14)} ${row.implementation.padEnd(16)} N=${String(row.tokens).padEnd(6)} batch=${String(row.batch).padEnd(3)} ${result}`);
  writeJson(out!, { device: device.name, plans, rows } satisfies OursFile);
}

for (const argument of packages) {
  const { plan: label, implementation, folder } = parsePackage(argument);
  const module = openPackage(folder);
  using plan = await module.load(device);
  const { shape, limits } = plan.definition;
  const facts = (plans[label] ??= { layers: shape.layers, queryHeads: shape.queryHeads, kvHeads: shape.kvHeads, headDim: shape.headDim, sink: limits.sink, windows: {} });
  for (const tokens of numbers(values.lengths)) {
    const prompt = promptOf(device, plan, tokens);
    for (const batch of numbers(values.batches)) {
      const point = { plan: label, implementation, tokens, batch };
      const layers = layersToMeasure(plan, tokens, batch);
      try {
        const { cache } = plan.memory({ batch, lengthBound: tokens, layers });
        if (cache > Math.min(mostBytes, 0.75 * device.memoryBytes)) throw new Error(`the cache of one layer takes ${(cache / 2 ** 30).toFixed(0)} GiB`);
        const { windows, ...times } = measureDecode(device, plan, prompt, { tokens, batch, layers, replays: Number(values.replays) });
        facts.windows[tokens] = { ...facts.windows[tokens], ...windows };
        add({ ...point, layers, ...times });
      } catch (error) {
        add({ ...point, error: String(error).split('\n')[0]! });
      }
    }
    disposeAll(prompt);
  }
}
device.dispose();
