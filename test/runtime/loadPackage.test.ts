/** Packages in folders of their own. */
import { chmodSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compilePackage } from '../../src/compilePackage.ts';
import { writePackage } from '../../src/emit/writePackage.ts';
import { definitionFormat } from '../../src/ir/planDefinition.ts';
import { Device } from '../../src/runtime/device.ts';
import { loadPackage } from '../../src/runtime/loadPackage.ts';
import { readDefinition } from '../../src/runtime/readDefinition.ts';
import { compileText, planText, targetsOf } from '../compile/support.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const { targets, architectures } = targetsOf('sm_80');
const text = planText({ layers: 1, queryHeads: 2, kvHeads: 1, headDim: 64, mixed: false });
const folder = join(scratchFolder(), 'a model');
let device: Device;

beforeAll(async () => {
  device = await Device.open('emulator');
  const { files } = await compilePackage(compileText(text, { architectures, elementTypes: ['bf16'] }), { emit: new Set(['cuda'] as const), targets, planText: text, version: '1.2.3' });
  await writePackage(files, folder);
});
afterAll(() => device.dispose());

const copied = (): string => {
  const copy = join(scratchFolder(), 'copy');
  cpSync(folder, copy, { recursive: true });
  return copy;
};

test('from anywhere, by path or URL, and from a folder that cannot be written to', async () => {
  const copy = copied();
  chmodSync(copy, 0o555);
  const named = [copy, `${copy}/`, pathToFileURL(copy), pathToFileURL(`${copy}/`)];
  for (const name of named) {
    using plan = await loadPackage(device, name);
    expect(plan.elementTypes).toEqual(['bf16']);
    using session = plan.createSession({ batch: 1, lengthBound: 128 });
    expect(session.batch).toBe(1);
  }
  chmodSync(copy, 0o755);
});

test('the definition is the file', () => {
  const file = join(folder, 'definition.json');
  expect(readDefinition(file)).toEqual(JSON.parse(readFileSync(file, 'utf8')));
  expect(readDefinition(pathToFileURL(file))).toEqual(readDefinition(file));
});

test('what is refused', async () => {
  const damagedBy = (damage: (file: string) => void): string => {
    const copy = copied();
    damage(join(copy, 'definition.json'));
    return copy;
  };
  const replaced = (content: string) => damagedBy((file) => writeFileSync(file, content));
  const refused: readonly (readonly [folder: unknown, code: string, says: RegExp])[] = [
    ['/nowhere', 'MOA6204', /\/nowhere\/definition\.json cannot be read \(ENOENT\): it is no package, or one of an older moa-compile/],
    [damagedBy((file) => rmSync(file)), 'MOA6204', /ENOENT/],
    [damagedBy((file) => (rmSync(file), mkdirSync(file))), 'MOA6204', /EISDIR/],
    [replaced('{'), 'MOA6204', /definition\.json is not JSON/],
    [replaced('[1]'), 'MOA6204', /is not a definition/],
    [replaced('{}'), 'MOA6201', /has format undefined; this runtime reads format/],
    [replaced(JSON.stringify({ format: definitionFormat - 1 })), 'MOA6201', new RegExp(`has format ${definitionFormat - 1}; this runtime reads format ${definitionFormat}`)],
    ...Object.values(readDefinition(join(folder, 'definition.json')).planners).map(({ source, name }) => {
      const says = new RegExp(`kernels/${name}\\.cu of the package cannot be read`);
      return [damagedBy((file) => rmSync(join(file, '..', source))), 'MOA6204', says] as const;
    }),
    [7, 'MOA6004', /loadPackage: 7 names no folder/],
    [new URL('https://example.org/'), 'MOA6004', /names no folder/],
  ];
  for (const [from, code, says] of refused) {
    await expect(loadPackage(device, from as string)).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
  }
  await expect(loadPackage(device, folder, { elementType: 'bf16' } as never)).rejects.toMatchObject({ code: 'MOA6004', message: expect.stringContaining('elementTypes') });
});
