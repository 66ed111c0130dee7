import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { holdsSameModel, modelFingerprint } from '../../src/search/modelFingerprint.ts';
import { scratchFolder } from '../toolchain/helpers.ts';

const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');

function folderWith(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = scratchFolder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

const weights = new Uint8Array(3 << 20).fill(1);
const model = { 'config.json': '{}', 'model.safetensors': weights, 'tokenizer.model': 'tokens', 'vocab.txt': 'a' };

test('it is that of the contents of weights, config and tokenizer, and of nothing else', async () => {
  const folder = folderWith({ ...model, 'README.md': 'words', 'événement.json': '[]', 'Z.json': '[]' });
  mkdirSync(join(folder, 'onnx.bin'));
  // By the bytes of names.
  const names = ['Z.json', 'config.json', 'model.safetensors', 'tokenizer.model', 'vocab.txt', 'événement.json'];
  const contents = ['[]', '{}', weights, 'tokens', 'a', '[]'];
  const before = await modelFingerprint(folder);
  expect(before.sha256).toBe(sha256(names.map((name, at) => `${sha256(contents[at]!)}  ${name}\n`).join('')));
  expect([...before.states.keys()]).toEqual(names);
  writeFileSync(join(folder, 'README.md'), 'other words');
  expect((await modelFingerprint(folder)).sha256).toBe(before.sha256);
});

test.each(Object.keys(model))('another %s of the same size and times is another model', async (name) => {
  const folder = folderWith(model);
  const path = join(folder, name);
  // As `cp -p` of a file of the same age: whole seconds are restored exactly.
  utimesSync(path, 1000, 1000);
  const before = await modelFingerprint(folder);
  const other = Buffer.from(model[name as keyof typeof model]);
  other[other.length - 1]! ^= 1;
  writeFileSync(path, other);
  utimesSync(path, 1000, 1000);
  expect(await holdsSameModel(folder, before)).toBe(false);
  expect((await modelFingerprint(folder)).sha256).not.toBe(before.sha256);
  // Another file in its place.
  writeFileSync(`${path}.new`, model[name as keyof typeof model]);
  renameSync(`${path}.new`, path);
  expect(await holdsSameModel(folder, before)).toBe(true);
});

test('times alone, a copy and links are the same model; a file more or less is another', async () => {
  const folder = folderWith(model);
  const before = await modelFingerprint(folder);
  utimesSync(join(folder, 'model.safetensors'), 1, 1);
  expect(await holdsSameModel(folder, before)).toBe(true);
  const [copy, links] = [scratchFolder(), scratchFolder()];
  for (const name of Object.keys(model)) {
    copyFileSync(join(folder, name), join(copy, name));
    symlinkSync(join(folder, name), join(links, name));
  }
  for (const other of [copy, links]) expect((await modelFingerprint(other)).sha256).toBe(before.sha256);
  writeFileSync(join(copy, 'chat_template.jinja'), '');
  expect(await holdsSameModel(copy, before)).toBe(false);
});

test('a folder that is not there is for the caller to say', async () => {
  await expect(modelFingerprint(join(scratchFolder(), 'none'))).rejects.toMatchObject({ code: 'ENOENT' });
});
