/** A user's strict TypeScript program against a package's `index.d.ts` and `moa-compile/runtime`, as npm would lay them out. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { installed, repositoryPath, runTypeScript } from '../cli/installed.ts';
import { scratchFolder } from '../cli/support.ts';

const right = `
import { Device, type DecodeTensors, type PlanDefinition, type Session } from 'moa-compile/runtime';
import { compile, DiagnosticList, version, type CompiledPlan } from 'moa-compile';
import { definition, load, type ElementType } from './model/index.js';

const layers: 8 = definition.shape.layers;
const heads: 8 = definition.shape.queryHeads;
const asAny: PlanDefinition = definition;
const only: ElementType = 'bf16';
const text: string = version;
const compiled: CompiledPlan | undefined = compile({ text: '{}', file: 'plan.json' }, undefined, { architectures: [] }, new DiagnosticList());

export async function run(spec: 'cuda' | 'cuda:1' | 'emulator'): Promise<number> {
  using device = await Device.open(spec, { seed: 1n });
  using plan = await load(device, { elementTypes: [only] });
  using session: Session = plan.createSession({ batch: 2, lengthBound: 4096, elementType: 'bf16', rope: { theta: 10000 } });
  using q = device.alloc(2 * heads * 64 * 2);
  const tensors: DecodeTensors = { q, k: q, v: q, out: q };
  session.prefill(0, { ...tensors, cuSeqlens: [0, 1, 2] });
  session.decode(layers - 1, { ...tensors, lse: q });
  using step = session.capture(() => session.decode(0, tensors));
  step.launch();
  const bytes: number = session.memory.cache;
  return bytes + asAny.kernels.length + text.length + Number(compiled === undefined);
}
`;

const wrong = `
import { Device, type Session } from 'moa-compile/runtime';
import { definition, load, type ElementType } from './model/index.js';

// @ts-expect-error the package has no fp16 kernels
export const other: ElementType = 'fp16';
// @ts-expect-error the shape is known: eight layers
export const layers: 3 = definition.shape.layers;
// @ts-expect-error the definition is data
definition.format = 2;

export async function run(session: Session): Promise<void> {
  // @ts-expect-error neither a GPU nor the emulator
  await Device.open('gpu:0');
  // @ts-expect-error a number is wanted
  await Device.open('cuda:first');
  const device = await Device.open('emulator');
  // @ts-expect-error the device is missing
  await load();
  // @ts-expect-error not among the package's element types
  const plan = await load(device, { elementTypes: ['fp16'] });
  // @ts-expect-error the length bound is missing
  plan.createSession({ batch: 1 });
  // @ts-expect-error not among the package's element types
  plan.createSession({ batch: 1, lengthBound: 128, elementType: 'fp16' });
  const q = device.alloc(256);
  // @ts-expect-error v is missing
  session.decode(0, { q, k: q, out: q });
  // @ts-expect-error cuSeqlens is missing
  session.prefill(0, { q, k: q, v: q, out: q });
  // @ts-expect-error a tensor is a buffer on the device
  session.decode(0, { q: new Float32Array(4), k: q, v: q, out: q });
  // @ts-expect-error sessions are read
  session.batch = 3;
}
`;

// The expected errors work in both directions: one that does not come is an error too.
test('right uses compile and wrong ones do not', () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
  symlinkSync(installed(), join(folder, 'node_modules', 'moa-compile'));
  for (const types of ['@types/node', 'undici-types']) symlinkSync(repositoryPath(`node_modules/${types}`), join(folder, 'node_modules', types));
  symlinkSync(repositoryPath('generated/example'), join(folder, 'model'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  writeFileSync(join(folder, 'right.ts'), right);
  writeFileSync(join(folder, 'wrong.ts'), wrong);
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noUncheckedSideEffectImports: true,
    verbatimModuleSyntax: true,
    isolatedModules: true,
    skipLibCheck: false,
    preserveSymlinks: true,
    noEmit: true,
    types: ['node'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['right.ts', 'wrong.ts'] }));
  expect(() => runTypeScript('-p', folder)).not.toThrow();
});
