/**
 * Speeds of a package on a GPU: prefill in TFLOP/s on the pairs the mask allows, decode in TB/s of KV pages in use.
 *
 *     node dist-bench/speed.js OUT.json name=folder ...
 *
 * Prefill: one sequence, median of 10 launches of append + prefill over a few layers. Decode: rings filled by a prefill of N - 128
 * tokens, then one CUDA graph of append + decode over the measured layers; time per layer is the graph's over its layers.
 */
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { activePairs, Device, type DeviceBuffer, type Plan, type PlanDefinition, type Session } from 'moa-compile/runtime';

interface Package {
  readonly definition: PlanDefinition;
  load(device: Device): Promise<Plan>;
}

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

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

/** `bytes` of random bf16 from -1 to 1: a block of 4 MiB, repeated. */
function randomBuffer(device: Device, bytes: number): DeviceBuffer {
  const block = new Uint16Array(Math.min(bytes, 4 << 20) / 2);
  let state = 12345;
  for (let n = 0; n < block.length; n += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block[n] = ((state >>> 31) << 15) | 0x3f00 | ((state >>> 20) & 0x7f); // +-[0.5, 1)
  }
  const buffer = device.alloc(bytes);
  for (let at = 0; at < bytes; at += block.byteLength) {
    const rest = Math.min(block.byteLength, bytes - at);
    buffer.write(rest === block.byteLength ? block : block.subarray(0, rest / 2), at);
  }
  return buffer;
}

function tensors(device: Device, { shape }: PlanDefinition, tokens: number) {
  const queryBytes = tokens * shape.queryHeads * shape.headDim * 2;
  const keyBytes = tokens * shape.kvHeads * shape.headDim * 2;
  return { q: randomBuffer(device, queryBytes), k: randomBuffer(device, keyBytes), v: randomBuffer(device, keyBytes), out: device.alloc(queryBytes) };
}

const disposeAll = (buffers: Record<string, DeviceBuffer>): void => Object.values(buffers).forEach((buffer) => buffer.dispose());

/** Pairs the mask allows, over all heads of `layer`, for one sequence of `tokens` tokens in a session bounded by as many. */
const allowedPairs = (session: Session, layer: number, tokens: number, sink: number): number =>
  session.windows(layer).reduce((pairs, window) => pairs + activePairs(tokens, window, sink), 0);

function measurePrefill(device: Device, plan: Plan, name: string, tokens: number, layers: readonly number[]): Row {
  const { shape, limits } = plan.definition;
  using session = plan.createSession({ batch: 1, lengthBound: tokens, layers });
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

function measureDecode(device: Device, plan: Plan, name: string, tokens: number, batch: number, layers: readonly number[]): Row {
  using session = plan.createSession({ batch, lengthBound: tokens, layers });
  const prompt = tokens - 128;
  // Sequences take turns at one sequence's worth of input: the cache needs data, not different data.
  const input = tensors(device, plan.definition, prompt * batch);
  const cuSeqlens = Int32Array.from({ length: batch + 1 }, (_, slot) => slot * prompt);
  for (const layer of layers) session.prefill(layer, { ...input, cuSeqlens });
  disposeAll(input);

  const step = tensors(device, plan.definition, batch);
  const graph = session.capture(() => layers.forEach((layer) => session.decode(layer, step)));
  for (let n = 0; n < 10; n += 1) graph.launch();
  const times = Array.from({ length: 30 }, () => device.measure(() => graph.launch()));
  const ms = median(times) / layers.length;
  const bytes = layers.reduce((sum, layer) => sum + session.pagesInUse(layer), 0) * plan.definition.layout.pageBytes;
  graph.dispose();
  disposeAll(step);
  return { name, kind: 'decode', tokens, batch, layers: layers.length, ms, rate: bytes / layers.length / ms / 1e9 };
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
    writeFileSync(out, JSON.stringify({ device: device.name, rows }, null, 1));
  };
  for (const argument of packages) {
    const [name, folder] = argument.split('=') as [string, string];
    const module = (await import(pathToFileURL(`${folder}/index.js`).href)) as Package;
    const plan = await module.load(device);
    const all = module.definition.layers.map((_, layer) => layer);
    for (const tokens of [4096, 8192, 16384]) add(measurePrefill(device, plan, name, tokens, all));
    for (const [batch, count] of [[1, all.length], [8, Math.min(8, all.length)], [32, Math.min(3, all.length)]] as const) {
      const step = Math.floor(all.length / count);
      add(measureDecode(device, plan, name, 16384, batch, all.filter((layer) => layer % step === 0).slice(0, count)));
    }
    plan.dispose();
  }
  device.dispose();
}

await main();
