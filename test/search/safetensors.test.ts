import { appendFileSync, existsSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { visitFloats, withSafetensors } from '../../src/search/profile/safetensors.ts';
import { readSafetensorsHeader } from '../../src/search/profile/safetensorsHeader.ts';
import { DiagnosticError, DiagnosticList } from '../../src/util/diagnostics.ts';
import { safetensorsBytes, said, scratchBytes, scratchFolder, withHeader } from './support.ts';

const two = safetensorsBytes(
  [
    { name: 'a', shape: [2, 3], values: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'b', shape: [], values: Float32Array.of(7) },
  ],
  { format: 'x' },
);

async function open(bytes: Uint8Array): Promise<{ problems: string[]; names: string[] | undefined }> {
  const diagnostics = new DiagnosticList();
  const names = await withSafetensors(scratchBytes(bytes), diagnostics, async ({ tensors }) => tensors.map(({ name }) => name));
  return { problems: said(diagnostics), names };
}

test('a file of two tensors', async () => {
  const diagnostics = new DiagnosticList();
  const start = 8 + Number(two.readBigUInt64LE());
  const parts: number[][] = [];
  const read: Uint8Array[] = [];
  const metadata = await withSafetensors(scratchBytes(two), diagnostics, async (source) => {
    expect(source.tensors).toEqual([
      { name: 'a', dtype: 'F32', shape: [2, 3], offset: start, bytes: 24 },
      { name: 'b', dtype: 'F32', shape: [], offset: start + 24, bytes: 4 },
    ]);
    read.push(source.head);
    for (const tensor of source.tensors) await visitFloats(source, tensor, tensor.bytes === 4 ? 1 : 3, (values, index) => (parts[parts.length] = [index, ...values]), (bytes) => read.push(bytes.slice()));
    return [...source.metadata];
  });
  expect([said(diagnostics), metadata]).toEqual([[], [['format', 'x']]]);
  expect(parts).toEqual([[0, 1, 2, 3], [1, 4, 5, 6], [0, 7]]);
  expect(Buffer.concat(read).equals(two)).toBe(true);
});

test('values of more than one read', async () => {
  const [count, parts] = [1000, 2500];
  const read = async (position: number, target: Uint8Array): Promise<void> => {
    const values = new Float32Array(target.buffer, target.byteOffset, target.byteLength / 4);
    values.forEach((_, at) => (values[at] = (position - 16) / 4 + at));
  };
  let bytes = 0;
  let next = 0;
  const visit = (values: Float32Array, index: number): void => {
    expect([index, values[0], values.length, values.at(-1)]).toEqual([next, next * count, count, next * count + count - 1]);
    next += 1;
  };
  await visitFloats({ read }, { name: 'a', dtype: 'F32', shape: [parts, count], offset: 16, bytes: 4 * count * parts }, count, visit, (part) => (bytes += part.byteLength));
  expect([next, bytes]).toEqual([parts, 4 * count * parts]);
});

test('a file without tensors', async () => {
  expect(await open(withHeader('{}', []))).toEqual({ problems: [], names: [] });
});

const tensor = (dtype: unknown, shape: unknown, offsets: unknown, more: object = {}): object => ({ dtype, shape, data_offsets: offsets, ...more });
const four = new Uint8Array(4);

describe('what is wrong is said', () => {
  test.each<[string, Uint8Array, string]>([
    ['too short', new Uint8Array(9), 'MOA7101: the file has 9 bytes'],
    ['a huge header', Buffer.concat([new Uint8Array(8).fill(255), four]), 'MOA7101: the header would have 18446744073709551615 bytes'],
    ['a header past the end', Buffer.concat([Uint8Array.of(99, 0, 0, 0, 0, 0, 0, 0), Buffer.from('{}')]), 'MOA7103: the file is truncated: its header ends at byte 107, and it has 10'],
    ['no JSON', withHeader('{nonsense', []), 'MOA1012'],
    ['a list', withHeader('[]', []), 'MOA7101: the header is not a JSON object'],
    ['a space first', withHeader(' {}', []), 'MOA7101: the header is not a JSON object'],
    ['a key twice', withHeader('{"__metadata__": {}, "__metadata__": {}}', []), 'MOA1013'],
    ['__proto__', withHeader('{"__proto__": {}}', []), 'MOA1014'],
    ['deep nesting', withHeader(`{"a": ${'['.repeat(9)}${']'.repeat(9)}}`, []), 'MOA1016'],
    ['metadata of numbers', withHeader('{"__metadata__": {"a": 1}}', []), 'MOA7101: a value of the metadata is not a string'],
    ['metadata that is a list', withHeader('{"__metadata__": []}', []), 'MOA7101: the metadata is not an object of strings'],
    ['a number as tensor', withHeader('{"a": 1}', []), 'MOA7102: the tensor "a" is not described by an object'],
    ['an unknown type', withHeader(JSON.stringify({ a: tensor('F4', [1], [0, 4]) }), [four]), 'MOA7102: the tensor "a" is of an unknown type "F4"'],
    ['a type of Object.prototype', withHeader(JSON.stringify({ a: tensor('toString', [1], [0, 4]) }), [four]), 'MOA7102: the tensor "a" is of an unknown type "toString"'],
    ['no type', withHeader(JSON.stringify({ a: { shape: [1], data_offsets: [0, 4] } }), [four]), 'MOA7102: the tensor "a" has no "dtype"'],
    ['a shape of fractions', withHeader(JSON.stringify({ a: tensor('F32', [1.5], [0, 4]) }), [four]), 'MOA7102: the tensor "a" has no "shape"'],
    ['a negative shape', withHeader(JSON.stringify({ a: tensor('F32', [-1], [0, 4]) }), [four]), 'MOA7102: the tensor "a" has no "shape"'],
    ['three offsets', withHeader(JSON.stringify({ a: tensor('F32', [1], [0, 4, 8]) }), [four]), 'MOA7102: the tensor "a" has no "data_offsets"'],
    ['offsets that fall', withHeader(JSON.stringify({ a: tensor('F32', [1], [4, 0]) }), [four]), 'MOA7102: the tensor "a" ends at 0 and begins at 4'],
    ['an unknown key', withHeader(JSON.stringify({ a: tensor('F32', [1], [0, 4], { stride: 1 }) }), [four]), 'MOA7102: the tensor "a" has an unknown key "stride"'],
    ['a product that overflows', withHeader(JSON.stringify({ a: tensor('F32', [2 ** 32, 2 ** 32], [0, 4]) }), [four]), 'MOA7102: the tensor "a" has more elements than can be counted: 4294967296 x 4294967296'],
    ['another size', withHeader(JSON.stringify({ a: tensor('F16', [3], [0, 4]) }), [four]), 'MOA7102: the tensor "a" has 4 bytes; F16 of 3 has 6'],
    ['a hole', withHeader(JSON.stringify({ a: tensor('F32', [1], [4, 8]) }), [four, four]), 'MOA7102: the tensor "a" leaves 4 bytes before it that belong to no tensor'],
    ['an overlap', withHeader(JSON.stringify({ a: tensor('F32', [1], [0, 4]), b: tensor('F16', [2], [2, 6]) }), [four, four]), 'MOA7102: the tensor "b" overlaps the one before it'],
    ['truncated', two.subarray(0, -3), 'MOA7103: the file is truncated: its tensors end at byte'],
    ['trailing bytes', Buffer.concat([two, four]), 'MOA7103: 4 bytes at the end of the file belong to no tensor'],
  ])('%s', async (_, bytes, message) => {
    const { problems, names } = await open(bytes);
    expect(names).toBeUndefined();
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(message);
  });

  test('no file, and a folder', async () => {
    const diagnostics = new DiagnosticList();
    expect(await withSafetensors('/no/such/file', diagnostics, async () => 'read')).toBeUndefined();
    expect(await withSafetensors(scratchFolder(), diagnostics, async () => 'read')).toBeUndefined();
    expect(await withSafetensors('a\0b', diagnostics, async () => 'read')).toBeUndefined();
    expect(diagnostics.toArray().map(({ code }) => code)).toEqual(['MOA1001', 'MOA1003', 'MOA1005']);
  });
});

test('a file that changes while it is read', async () => {
  for (const change of [(path: string) => truncateSync(path, 100), (path: string) => appendFileSync(path, 'x'), (path: string) => writeFileSync(path, Buffer.alloc(two.byteLength))]) {
    for (const reads of [true, false]) {
      const path = scratchBytes(two);
      const diagnostics = new DiagnosticList();
      const result = await withSafetensors(path, diagnostics, async (source) => {
        change(path);
        const end = source.tensors[1]!;
        if (reads) await source.read(end.offset, new Uint8Array(end.bytes));
        return 'read';
      });
      expect([result, said(diagnostics)]).toEqual([undefined, ['MOA7104: the file changed while it was read']]);
    }
  }
});

test('what the reader throws: a diagnostic is reported, all else passed on; the file is closed', async ({ skip }) => {
  const path = scratchBytes(two);
  const failing = (error: Error): Promise<unknown> =>
    withSafetensors(path, new DiagnosticList(), async () => {
      throw error;
    });
  await expect(failing(new Error('a bug'))).rejects.toThrow('a bug');
  expect(await failing(new DiagnosticError([], 2))).toBeUndefined();
  if (!existsSync('/proc/self/fd')) return skip('open files are not listed here');
  const left = readdirSync('/proc/self/fd').filter((name) => statSync(`/proc/self/fd/${name}`, { throwIfNoEntry: false })?.ino === statSync(path).ino);
  expect(left).toEqual([]);
});

describe('never throws, whatever the bytes', () => {
  const readText = (bytes: Uint8Array, fileBytes: number): void => {
    const diagnostics = new DiagnosticList();
    const header = readSafetensorsHeader(bytes, 'x', fileBytes, diagnostics);
    expect(header === undefined).toBe(diagnostics.hasErrors);
    if (header === undefined) return;
    let end = 8 + bytes.byteLength;
    for (const { offset, bytes: size } of header.tensors) {
      expect(offset).toBe(end);
      end += size;
    }
    expect(end).toBe(fileBytes);
  };

  test('random bytes as header', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(200), readText), { numRuns: 2000 });
  });

  test('random JSON as header', () => {
    const value = fc.oneof(fc.jsonValue(), fc.record({ dtype: fc.constantFrom('F32', 'F16', 'BOOL', 'x'), shape: fc.array(fc.oneof(fc.nat(4), fc.maxSafeInteger()), { maxLength: 4 }), data_offsets: fc.array(fc.oneof(fc.nat(64), fc.maxSafeInteger()), { minLength: 1, maxLength: 2 }) }));
    const header = fc.dictionary(fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('__metadata__', '__proto__')), value, { maxKeys: 4 });
    fc.assert(
      fc.property(header, fc.nat(64), (object, size) => {
        const text = Buffer.from(JSON.stringify(object));
        readText(text, 8 + text.byteLength + size);
      }),
      { numRuns: 3000 },
    );
  });

  test('a valid file with bytes changed, cut or added', async () => {
    const edit = fc.record({ at: fc.nat(two.byteLength - 1), byte: fc.nat(255), kind: fc.constantFrom('set', 'cut', 'insert') });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
        let bytes = Buffer.from(two);
        for (const { at, byte, kind } of edits) {
          if (kind === 'set') bytes[Math.min(at, bytes.length - 1)] = byte;
          else if (kind === 'cut') bytes = bytes.subarray(0, Math.max(1, Math.min(at, bytes.length)));
          else bytes = Buffer.concat([bytes.subarray(0, at), Uint8Array.of(byte), bytes.subarray(at)]);
        }
        const { problems, names } = await open(bytes);
        expect(names === undefined).toBe(problems.length > 0);
      }),
      { numRuns: 300 },
    );
  });
});
