import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readInputFile, type ReadInputOptions } from '../../src/plan/readInput.ts';
import { DiagnosticList, type Diagnostic } from '../../src/util/diagnostics.ts';

const folder = mkdtempSync(join(tmpdir(), 'moa-read-input-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function read(path: string, options: Partial<ReadInputOptions> = {}) {
  const diagnostics = new DiagnosticList();
  const input = await readInputFile(path, { diagnostics, ...options });
  const [first] = diagnostics.toArray() as readonly Diagnostic[];
  return { input, code: first?.code, message: first?.message, location: first?.location };
}

async function* stream(...chunks: readonly string[]) {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

describe('readInputFile', () => {
  it('reads a file of any size up to the limit', async () => {
    const path = join(folder, 'a.json');
    for (const size of [0, 1, 65536, 65537, 200_000]) {
      writeFileSync(path, 'x'.repeat(size));
      const { input, code } = await read(path, { maxBytes: 200_000 });
      expect(code).toBeUndefined();
      expect(input!.file).toBe(path);
      expect(Buffer.from(input!.bytes).toString()).toBe('x'.repeat(size));
    }
    writeFileSync(path, 'x'.repeat(200_001));
    expect(await read(path, { maxBytes: 200_000 })).toMatchObject({ input: undefined, code: 'MOA1004', message: 'the input has 200001 bytes, more than the limit of 200000' });
  });

  it('reads standard input for -', async () => {
    expect(await read('-', { stdin: stream('{"a"', ':1}') })).toMatchObject({ input: { file: '<stdin>', bytes: Buffer.from('{"a":1}') } });
    expect(await read('-', { stdin: stream('12345', '67890'), maxBytes: 9 })).toMatchObject({ code: 'MOA1004', location: { file: '<stdin>' } });
  });

  it.each([
    ['missing.json', 'MOA1001'],
    ['a.json/b', 'MOA1001'],
    ['', 'MOA1003'],
    ['x'.repeat(300), 'MOA1005'],
    ['nul\0.json', 'MOA1005'],
  ])('reports %j', async (name, code) => {
    writeFileSync(join(folder, 'a.json'), '');
    expect(await read(join(folder, name))).toMatchObject({ input: undefined, code });
  });

  it('reads no more of an endless file than the limit', async () => {
    expect(await read('/dev/zero', { maxBytes: 100_000 })).toMatchObject({ input: undefined, code: 'MOA1004' });
  });

  it('lets the errors of a broken stream that are no input problem through', async () => {
    const stdin = {
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new TypeError('bug')) }),
    };
    await expect(read('-', { stdin })).rejects.toThrow('bug');
  });
});
