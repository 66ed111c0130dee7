/**
 * What serving costs beside a full batch of one token a sequence: decode of few sequences in a session of many slots, and decode of several tokens at once.
 *
 *     node dist-bench/serving.js OUT.json name=folder ...
 *
 * Microseconds of a layer, the median of 25 replays of a graph over layers that hold about 1 GiB together, N = 16384, rings full. Several tokens are measured where the
 * package has kernels for them (--decode-tokens).
 */
import { Device, type Plan, type SessionOptions } from 'moa-compile/runtime';
import { layersToMeasure, promptOf } from './decode/measureDecode.ts';
import { disposeAll, tensors, type Tensors } from './lib/buffers.ts';
import { fillRings } from './lib/fillRings.ts';
import { openPackage } from './lib/packages.ts';
import { median, significant } from './lib/statistics.ts';
import { writeJson } from './lib/writeJson.ts';

interface Row {
  readonly name: string;
  readonly slots: number;
  readonly sequences: number;
  readonly tokens: number;
  readonly us: number;
}

const bound = 16384;
const slots = 32;
const replays = 25;
const warmUps = 5;
/** Tokens between the prompt, as `promptOf` makes it, and the bound. */
const room = 64;

function measure(device: Device, plan: Plan, prompt: Tensors, name: string, { slots: batch, sequences, tokens }: Pick<Row, 'slots' | 'sequences' | 'tokens'>): Row {
  const layers = layersToMeasure(plan, bound, sequences);
  const pages = plan.memory({ batch: sequences, lengthBound: bound, layers }).cache / plan.definition.layout.pageBytes;
  const options: SessionOptions = { batch, lengthBound: bound, layers, slots: 'free', pages, decodeTokens: tokens, rope: 'none' };
  using session = plan.createSession(options);
  for (let n = 0; n < sequences; n += 1) session.add();
  fillRings(session, layers, prompt, bound - room, sequences);
  const step = tensors(device, plan.definition, batch * tokens);
  try {
    using graph = session.capture(() => layers.forEach((layer) => session.decode(layer, { ...step, tokens })));
    const times = Array.from({ length: warmUps + replays }, () => {
      // Several tokens are measured with slack, from which they can be taken back.
      if (session.lengths(layers[0]!)[0]! + tokens > bound) for (let slot = 0; slot < sequences; slot += 1) session.truncate(slot, bound - room);
      return (device.measure(() => graph.launch()) * 1000) / layers.length;
    });
    return { name, slots: batch, sequences, tokens, us: significant(median(times.slice(warmUps))) };
  } finally {
    disposeAll(step);
  }
}

async function main(): Promise<void> {
  const [out, ...packages] = process.argv.slice(2);
  if (out === undefined || packages.length === 0) throw new Error('usage: serving OUT.json name=folder ...');
  const device = await Device.open('cuda:0');
  const rows: Row[] = [];
  const add = (row: Row): void => {
    rows.push(row);
    console.log(`${row.name.padEnd(14)} slots=${String(row.slots).padEnd(3)} sequences=${String(row.sequences).padEnd(3)} tokens=${String(row.tokens).padEnd(3)} ${row.us} us/layer`);
    writeJson(out, { device: device.name, command: 'node dist-bench/serving.js', rows });
  };
  for (const argument of packages) {
    const [name, folder] = argument.split('=') as [string, string];
    const plan = await openPackage(folder).load(device);
    const prompt = promptOf(device, plan, bound);
    const run = (batch: number, sequences: number, tokens = 1): void => add(measure(device, plan, prompt, name, { slots: batch, sequences, tokens }));
    for (const sequences of [1, 4, 8, 32]) {
      run(sequences, sequences);
      if (sequences < slots) run(slots, sequences);
    }
    const most = Math.max(1, ...plan.definition.kernels.map(({ tokens = 1 }) => tokens));
    for (const batch of most > 1 ? [1, 8] : []) for (const tokens of [2, 4, 8, 16].filter((count) => count <= most)) run(batch, batch, tokens);
    disposeAll(prompt);
    plan.dispose();
  }
  device.dispose();
}

await main();
