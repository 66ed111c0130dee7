/**
 * Sessions of Python and of Node are the same: equal results bit for bit, equal lengths and pages, equal refusals, of one
 * package on the emulator.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compilePackage } from '../../src/compilePackage.ts';
import { writePackage } from '../../src/emit/writePackage.ts';
import { encodeElements } from '../../src/runtime/elements.ts';
import { Device, loadPackage, RuntimeError } from '../../src/runtime/index.ts';
import { repositoryPath } from '../cli/installed.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';
import { randomOf } from '../random.ts';
import { scratchFolder } from '../toolchain/helpers.ts';
import { pythonPath, torchObstacle, variables } from './support.ts';

const small = { layers: 3, queryHeads: 4, kvHeads: 2, headDim: 64, mixed: true } as const;
/** Decode of one token has a launch of its own that appends it: ten query heads of a KV head fill more than one tile. */
const wide = { layers: 1, queryHeads: 10, kvHeads: 1, headDim: 256, mixed: false } as const;
const packages = [
  ['sm_80', small, {}],
  ['sm_90a', small, {}],
  ['sm_80, a cache of 8 bits', small, { cacheType: 'e4m3' }],
  ['sm_80, headDim 256', wide, {}],
] as const;
const names = { lengthBound: 'length_bound', cuSeqlens: 'cu_seqlens', decodeTokens: 'decode_tokens' } as const;

interface Call {
  readonly call: 'add' | 'remove' | 'fork' | 'truncate' | 'reset' | 'prefill' | 'step' | 'decode';
  readonly slot?: number;
  readonly length?: number;
  readonly lengthBound?: number;
  /** Of the tensors of each layer. */
  readonly rows?: number;
  readonly cuSeqlens?: readonly number[];
  readonly tokens?: number;
  readonly counts?: readonly number[];
}

const packed = (call: 'prefill' | 'step', ...counts: readonly number[]): Call => {
  const cuSeqlens = [0];
  for (const count of counts) cuSeqlens.push(cuSeqlens.at(-1)! + count);
  return { call, rows: cuSeqlens.at(-1)!, cuSeqlens };
};
const decode: Call = { call: 'decode', rows: 4 };

/** A life of four slots, with calls that are refused among the others. */
const calls: readonly Call[] = [
  { call: 'add', lengthBound: 500 },
  { call: 'add', lengthBound: 501 },
  { call: 'add' },
  packed('prefill', 300, 130, 0, 0),
  packed('prefill', 100, 0, 0, 0),
  packed('prefill', 0, 0, 1, 0),
  decode,
  { call: 'fork', slot: 0 },
  { call: 'fork', slot: 3 },
  decode,
  packed('step', 1, 40, 1, 0),
  { call: 'decode', rows: 8, tokens: 2 },
  { call: 'decode', rows: 12, tokens: 3, counts: [3, 0, 1, 0] },
  { call: 'decode', rows: 12, tokens: 3, counts: [4, 0, 1, 0] },
  { call: 'decode', rows: 16, tokens: 4 },
  { call: 'truncate', slot: 0, length: 402 },
  { call: 'truncate', slot: 0, length: 200 },
  { call: 'truncate', slot: 2, length: 1000 },
  decode,
  packed('prefill', 0, 0, 90, 0),
  packed('prefill', 0, 0, 30, 0),
  { call: 'remove', slot: 0 },
  { call: 'remove', slot: 0 },
  { call: 'prefill', rows: 4, cuSeqlens: [0, 4] },
  { call: 'prefill', rows: 4, cuSeqlens: [0, 4, 3, 4, 4] },
  { call: 'prefill', rows: 4, cuSeqlens: [0, 501, 501, 501, 501] },
  { call: 'add', lengthBound: 128 },
  { call: 'add', lengthBound: 90 },
  { call: 'add' },
  packed('step', 70, 1, 0, 1),
  packed('prefill', 0, 200, 0, 0),
  decode,
  { call: 'reset' },
  packed('step', 5, 6, 1, 0),
];

/** What Python says, in Node's words. */
const inNodesWords = (text: string): string =>
  Object.entries(names)
    .reduce((words, [ours, theirs]) => words.replaceAll(theirs, ours), text)
    .replace(/(\d+) slots need/, 'a batch of $1 needs')
    .replace('a sequence of numbers', 'an array of numbers');

const reason = torchObstacle();
if (reason !== undefined) console.warn(`SKIPPED: sessions of Python; ${reason}`);

describe.skipIf(reason !== undefined)(`sessions of Python${reason === undefined ? '' : ` (skipped: ${reason})`}`, () => {
  test.each(packages)('are those of Node: %s', { timeout: 600_000 }, async (label, shape, more) => {
    const folder = join(scratchFolder(), 'model');
    const { targets, architectures } = targetsOf(label.split(',')[0]!);
    const text = planText(shape);
    const compiled = compileText(text, { architectures, elementTypes: ['bf16'], decodeTokens: 3, slack: 64, ...more });
    const emit = new Set(['cuda'] as const);
    const { files } = await compilePackage(compiled, { emit, targets, planText: text, version: '1.2.3' });
    await writePackage(files, folder);

    using device = await Device.open('emulator');
    using plan = await loadPackage(device, pathToFileURL(`${folder}/`));
    // So few that a step of the calls does not fit.
    const poolPages = shape.layers * shape.kvHeads * 12 - 2;
    const options = { lengthBound: 500, decodeTokens: 3, pages: poolPages, rope: { theta: 10000 } };
    using session = plan.createSession({ batch: 4, slots: 'free', ...options });
    const random = randomOf(11);
    const inputs: Buffer[] = [];
    const outputs: Buffer[] = [];
    const bytesOf = ({ buffer }: Uint16Array): Buffer => Buffer.from(buffer as ArrayBuffer);
    const tensorsOf = (rows: number) => {
      const make = (heads: number) => {
        const values = Float32Array.from({ length: rows * heads * shape.headDim }, () => 4 * random() - 2);
        const elements = encodeElements('bf16', values);
        inputs.push(bytesOf(elements));
        return device.upload(elements);
      };
      const [q, k, v] = [make(shape.queryHeads), make(shape.kvHeads), make(shape.kvHeads)];
      return { q, k, v, out: device.alloc(q.bytes).fill(0), lse: device.alloc(rows * shape.queryHeads * 4).fill(0) };
    };
    const facts = calls.map(({ call, rows, slot, length, ...rest }) => {
      const layers = rows === undefined ? [undefined] : Array.from({ length: shape.layers }, () => tensorsOf(rows));
      let result: unknown;
      let refusal: string | null = null;
      try {
        layers.forEach((tensors, layer) => {
          const run = session[call].bind(session) as (...given: readonly unknown[]) => unknown;
          const own = [slot, length].filter((each) => each !== undefined);
          result = tensors === undefined ? run(...own, ...(call === 'add' ? [rest] : [])) : run(layer, { ...tensors, ...rest });
        });
      } catch (error) {
        if (!(error instanceof RuntimeError)) throw error;
        refusal = error.message.split('\n')[0]!;
      }
      for (const tensors of layers) {
        if (tensors === undefined) continue;
        for (const each of ['out', 'lse', 'q', 'k'] as const) outputs.push(Buffer.from(tensors[each].read()));
      }
      const { pages, held, shared, free } = session.usage();
      return {
        result: result ?? null,
        refusal,
        lengths: Array.from({ length: shape.layers }, (_, layer) => [...session.lengths(layer)]),
        bounds: [...session.lengthBounds()],
        windows: [...session.windows(0, 1)],
        usage: [pages, held, shared, free],
        pagesInUse: session.pagesInUse(0),
      };
    });
    const codes = new Set(facts.flatMap(({ refusal }) => (refusal === null ? [] : [refusal.slice(0, 7)])));
    expect([...codes].sort(), 'every kind of refusal is among the calls').toEqual(
      ['MOA6101', 'MOA6104', 'MOA6106', 'MOA6107', 'MOA6108', 'MOA6109', 'MOA6110', 'MOA6111', 'MOA6113'],
    );

    const at = (name: string): string => join(folder, '..', name);
    writeFileSync(at('inputs.bin'), Buffer.concat(inputs));
    const inPython = (given: object): object =>
      Object.fromEntries(Object.entries(given).map(([key, value]) => [(names as Record<string, string>)[key] ?? key, value as unknown]));
    const task = {
      package: folder,
      multiprocessors: device.multiprocessors,
      inputs: at('inputs.bin'),
      outputs: at('outputs.bin'),
      options: inPython({ slots: 4, ...options }),
      calls: calls.map(inPython),
    };
    writeFileSync(at('task.json'), JSON.stringify(task));
    const script = repositoryPath('test/python/calls.py');
    const { status, stdout, stderr } = spawnSync(pythonPath, [script, at('task.json')], { encoding: 'utf8', env: variables });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const found = JSON.parse(stdout) as { readonly facts: typeof facts; readonly memory: readonly number[] };
    expect(found.facts.map(({ refusal, ...rest }) => ({ ...rest, refusal: refusal === null ? null : inNodesWords(refusal) }))).toEqual(
      facts.map(({ ...each }) => each),
    );
    const { total, cache, tables, workspace, dense } = session.memory;
    expect(found.memory).toEqual([total, cache, tables, workspace, dense]);
    const wanted = Buffer.concat(outputs);
    expect(wanted.some((byte) => byte !== 0)).toBe(true);
    expect(Buffer.compare(readFileSync(at('outputs.bin')), wanted), 'bit for bit').toBe(0);
  });
});
