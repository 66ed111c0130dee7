/** Two sessions on two threads, each with a device of its own, at the same time: they compute what one does alone, and cannot reach each other's objects. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { repositoryPath } from '../cli/installed.ts';
import { run, scratchFolder, tinyPlan } from '../cli/support.ts';

/** Plain JavaScript on the compiled runtime, so that it needs no loader. */
const workerSource = `
import { parentPort, workerData } from 'node:worker_threads';
const { Device, encodeElements } = await import(workerData.runtime);
const { load, definition } = await import(workerData.model);
const { queryHeads, kvHeads, headDim } = definition.shape;
const device = await Device.open('emulator', { seed: workerData.seed });
const plan = await load(device);
const session = plan.createSession({ batch: 2, lengthBound: 300 });
const tensor = (tokens, heads) => device.upload(encodeElements(session.elementType, Float32Array.from({ length: tokens * heads * headDim }, (_, i) => Math.sin(i * 0.37 + heads))));
const tensors = (tokens) => ({ q: tensor(tokens, queryHeads), k: tensor(tokens, kvHeads), v: tensor(tokens, kvHeads), out: tensor(tokens, queryHeads) });
const prompt = tensors(180);
session.prefill(0, { ...prompt, cuSeqlens: [0, 150, 180] });
const token = tensors(2);
for (let step = 0; step < 3; step += 1) session.decode(0, token);
const bits = Buffer.concat([prompt.out.read(), token.out.read()]).toString('base64');
let refused = '';
// What another thread gets of a buffer is a copy of plain data.
try { session.decode(0, { ...token, q: structuredClone(token.q) }) } catch (error) { refused = error.code }
session.decode(0, token);
device.dispose();
parentPort.postMessage({ bits, refused });
`;

interface Answer {
  readonly bits: string;
  readonly refused: string;
}

test('threads do not disturb each other', { timeout: 300_000 }, async () => {
  const folder = join(scratchFolder(), 'model');
  expect(run([tinyPlan, '--arch', 'sm_80', '--emit=ir,cuda,ts', '--dtype', 'bf16', '--no-rope', '-q', '-o', folder])).toMatchObject({ status: 0, stderr: '' });
  const runtime = pathToFileURL(repositoryPath('dist/runtime/index.js')).href;
  // The package finds the runtime by its name; a copy beside the repository would not.
  const model = `data:text/javascript,${encodeURIComponent(readFileSync(join(folder, 'index.js'), 'utf8').replaceAll('moa-compile/runtime', runtime).replaceAll('import.meta.url', JSON.stringify(pathToFileURL(join(folder, 'index.js')).href)))}`;
  const start = (seed: number) =>
    new Promise<Answer>((resolve, reject) => {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(workerSource)}`), { workerData: { runtime, model, seed } });
      worker.once('message', resolve);
      worker.once('error', reject);
    });
  const alone = await start(1);
  const together = await Promise.all([start(2), start(3)]);
  for (const answer of together) expect(answer).toEqual(alone);
  expect(alone.refused).toBe('MOA6103');
});
