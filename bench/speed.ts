/**
 * Speeds of a package on a GPU: prefill in TFLOP/s on the pairs the mask allows, decode in TB/s of KV pages in use.
 *
 *     node dist-bench/speed.js OUT.json name=folder ...
 *
 * Prefill: one sequence, median of 10 launches of append + prefill over all layers. Decode: N = 16384 only, as bench/decode measures it.
 */
import { activePairs, Device, type Plan, type Session } from 'moa-compile/runtime';
import { layersToMeasure, measureDecode, promptOf } from './decode/measureDecode.ts';
import { disposeAll, tensors } from './lib/buffers.ts';
import { openPackage } from './lib/packages.ts';
import { median } from './lib/statistics.ts';
import { writeJson } from './lib/writeJson.ts';

interface Row {
  readonly name: string;
  readonly kind: 'prefill' | 'decode';
  readonly tokens: number;
  readonly batch: number;
  readonly layers: number;
  readonly ms: number;
  /** TFLOP/s on allowed pairs, or TB/s of pages in use. */
  readonly rate: number;
}

/** Pairs the mask allows, over all heads of `layer`, for one sequence of `tokens` tokens in a session bounded by as many. */
const allowedPairs = (session: Session, layer: number, tokens: number, sink: number): number =>
  session.windows(layer).reduce((pairs, window) => pairs + activePairs(tokens, window, sink), 0);

function measurePrefill(device: Device, plan: Plan, name: string, tokens: number): Row {
  const { shape, limits } = plan.definition;
  const layers = plan.definition.layers.map((_, layer) => layer);
  using session = plan.createSession({ batch: 1, lengthBound: tokens, rope: 'none' });
  const input = tensors(device, plan.definition, tokens);
  const run = (layer: number): void => session.prefill(layer, { ...input, cuSeqlens: [0, tokens] });
  for (const layer of layers) run(layer);
  const times = Array.from({ length: 10 }, () => {
    session.reset();
    return device.measure(() => layers.forEach(run)) / layers.length;
  });
  const ms = median(times);
  const pairs = layers.reduce((sum, layer) => sum + allowedPairs(session, layer, tokens, limits.sink), 0) / layers.length;
  disposeAll(input);
  return { name, kind: 'prefill', tokens, batch: 1, layers: layers.length, ms, rate: (4 * shape.headDim * pairs) / ms / 1e9 };
}

function decodeRows(device: Device, plan: Plan, name: string): Row[] {
  const tokens = 16384;
  const prompt = promptOf(device, plan, tokens);
  const rows = [1, 8, 32].map((batch): Row => {
    const layers = layersToMeasure(plan, tokens, batch);
    const { us, tbps } = measureDecode(device, plan, prompt, { tokens, batch, layers });
    return { name, kind: 'decode', tokens, batch, layers: layers.length, ms: us / 1000, rate: tbps };
  });
  disposeAll(prompt);
  return rows;
}

async function main(): Promise<void> {
  const [out, ...packages] = process.argv.slice(2);
  if (out === undefined || packages.length === 0) throw new Error('usage: speed OUT.json name=folder ...');
  const device = await Device.open('cuda:0');
  const rows: Row[] = [];
  const add = (row: Row): void => {
    rows.push(row);
    const unit = row.kind === 'prefill' ? 'TFLOP/s' : 'TB/s';
    console.log(`${row.name.padEnd(14)} ${row.kind.padEnd(8)} N=${String(row.tokens).padEnd(6)} batch=${String(row.batch).padEnd(3)} ${row.ms.toFixed(4)} ms/layer ${row.rate.toFixed(2)} ${unit}`);
    writeJson(out, { device: device.name, rows });
  };
  for (const argument of packages) {
    const [name, folder] = argument.split('=') as [string, string];
    const module = openPackage(folder);
    const plan = await module.load(device);
    for (const tokens of [4096, 8192, 16384]) add(measurePrefill(device, plan, name, tokens));
    decodeRows(device, plan, name).forEach(add);
    plan.dispose();
  }
  device.dispose();
}

await main();
