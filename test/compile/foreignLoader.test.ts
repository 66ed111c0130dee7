/**
 * The package is the interface: a loader in another language (foreign/loader.py), which has nothing but the package's
 * folder and docs/package-format.md, gets the bits that the runtime gets.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compilePackage } from '../../src/compilePackage.ts';
import { writePackage } from '../../src/emit/writePackage.ts';
import { Device, loadPackage, type PlanDefinition } from '../../src/runtime/index.ts';
import { encodeElements } from '../../src/runtime/elements.ts';
import { buildEmulatorLibrary } from '../../src/runtime/emulatorLibrary.ts';
import { repositoryPath } from '../cli/installed.ts';
import { pythonPath, variables } from '../python/support.ts';
import { randomOf } from '../random.ts';
import { scratchFolder } from '../toolchain/helpers.ts';
import { compileText, planText, targetsOf } from './support.ts';

const hasPython = spawnSync(pythonPath, ['--version']).status === 0;
if (!hasPython) console.warn(`SKIPPED: the loader in another language; there is no ${pythonPath}`);

const slots = 3;
const lengthBound = 900;
/** Rows of queries of two prompts, of a chunk behind the first, and of three tokens of those who are there then. */
const prompts = { cuSeqlens: [0, 300, 300, 430], holds: false };
const chunk = { cuSeqlens: [0, 100, 100, 100], holds: true };
const decodes = 3;

const { targets, architectures } = targetsOf('sm_80');
const text = planText({ layers: 3, queryHeads: 4, kvHeads: 2, headDim: 64, mixed: true });

type Name = 'q' | 'k' | 'v';
type Tensors = Readonly<Record<Name, Uint16Array>> & { readonly tokens: number };

/** q, k and v of every layer of a call. */
function tensorsOf({ shape }: PlanDefinition, tokens: number, random: () => number): Tensors[] {
  const make = (heads: number): Uint16Array => {
    const values = Float32Array.from({ length: tokens * heads * shape.headDim }, () => 4 * random() - 2);
    return encodeElements('bf16', values);
  };
  const { queryHeads, kvHeads } = shape;
  return Array.from({ length: shape.layers }, () => ({
    q: make(queryHeads),
    k: make(kvHeads),
    v: make(kvHeads),
    tokens,
  }));
}

describe.skipIf(!hasPython)('a loader in Python (skipped where there is none)', () => {
  test(
    'runs a package from its folder alone: prompts, a chunk behind one, a fork and decode',
    { timeout: 300_000 },
    async () => {
      const folder = join(scratchFolder(), 'model');
      const compiled = compileText(text, { architectures, elementTypes: ['bf16'], rope: false });
      const { files } = await compilePackage(compiled, {
        emit: new Set(['cuda'] as const),
        targets,
        planText: text,
        version: '1.2.3',
      });
      await writePackage(files, folder);

      using device = await Device.open('emulator');
      using plan = await loadPackage(device, pathToFileURL(`${folder}/`));
      const { definition } = plan;
      expect(definition.buffers.session, 'two classes of layers').toBeDefined();
      expect(definition.tables.layerClass).toEqual([0, 1, 1]);
      const random = randomOf(7);
      const calls = [prompts, chunk].map(({ cuSeqlens, holds }) => ({
        cuSeqlens,
        holds,
        layers: tensorsOf(definition, cuSeqlens.at(-1)!, random),
      }));
      const steps = Array.from({ length: decodes }, () => tensorsOf(definition, slots, random));

      const expected: Uint16Array[] = [];
      const run = (
        layers: readonly Tensors[],
        launch: (layer: number, tensors: Readonly<Record<Name | 'out', ReturnType<Device['alloc']>>>) => void,
      ): void => {
        layers.forEach(({ q, k, v }, layer) => {
          const out = device.alloc(q.byteLength).fill(0);
          launch(layer, { q: device.upload(q), k: device.upload(k), v: device.upload(v), out });
          expected.push(out.read(new Uint16Array(q.length)));
        });
      };
      using session = plan.createSession({ batch: slots, lengthBound, slots: 'free' });
      expect([session.add({ lengthBound: 700 }), session.add(), session.add()]).toEqual([0, 1, 2]);
      session.remove(1);
      for (const { cuSeqlens, layers } of calls)
        run(layers, (layer, tensors) => session.prefill(layer, { ...tensors, cuSeqlens }));
      expect(session.fork(2)).toBe(1);
      for (const layers of steps) run(layers, (layer, tensors) => session.decode(layer, tensors));

      const names = [...definition.kernels, ...Object.values(definition.planners)].map(({ name }) => name);
      const libraries = await Promise.all(
        names.map(
          async (name) => [name, await buildEmulatorLibrary(join(folder, `kernels/${name}.cu`), name)] as const,
        ),
      );
      const inputs = [...calls.map(({ layers }) => layers), ...steps].flat().flatMap(({ q, k, v }) => [q, k, v]);
      const at = (name: string): string => join(folder, '..', name);
      writeFileSync(at('inputs.bin'), Buffer.concat(inputs.map((tensor) => Buffer.from(tensor.buffer))));
      const sizesOf = (layers: readonly Tensors[]): object[] =>
        layers.map(({ q, k, v }) => ({ q: q.byteLength, k: k.byteLength, v: v.byteLength, out: q.byteLength }));
      const task = {
        package: folder,
        libraries: Object.fromEntries(libraries),
        elementType: 'bf16',
        multiprocessors: device.multiprocessors,
        slots,
        lengthBound,
        inputs: at('inputs.bin'),
        outputs: at('outputs.bin'),
        calls: [
          { kind: 'add', slot: 0, value: 700 },
          { kind: 'add', slot: 1, value: lengthBound },
          { kind: 'add', slot: 2, value: lengthBound },
          { kind: 'remove', slot: 1 },
          ...calls.map(({ cuSeqlens, holds, layers }) => ({
            kind: 'prefill',
            cuSeqlens,
            holds,
            layers: sizesOf(layers),
          })),
          { kind: 'fork', slot: 2, other: 1 },
          ...steps.map((layers) => ({ kind: 'decode', layers: sizesOf(layers) })),
        ],
      };
      writeFileSync(at('task.json'), JSON.stringify(task));
      const { status, stderr } = spawnSync(
        pythonPath,
        [repositoryPath('test/compile/foreign/run.py'), at('task.json')],
        { encoding: 'utf8', env: variables },
      );
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      const found = readFileSync(at('outputs.bin'));
      const wanted = Buffer.concat(expected.map((tensor) => Buffer.from(tensor.buffer)));
      expect(found.length).toBe(wanted.length);
      expect(wanted.some((byte) => byte !== 0)).toBe(true);
      expect(Buffer.compare(found, wanted), 'bit for bit').toBe(0);
    },
  );

  test('imports nothing of moa-compile', () => {
    for (const name of ['loader', 'emulator']) {
      const source = readFileSync(repositoryPath(`test/compile/foreign/${name}.py`), 'utf8');
      const imported = [...source.matchAll(/^(?:import|from) (\w+)/gm)].map(([, module]) => module);
      expect(imported.filter((module) => !['json', 'struct', 'ctypes'].includes(module!))).toEqual([]);
    }
  });
});
