/** Inputs of other formats that break naive readers: an error with a code, soon, in short lines of ASCII. */
import { expect, test } from 'vitest';
import type { PlanInput } from '../../src/plan/formats/inputFormat.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { collect } from './support.ts';

const MiB = 1024 * 1024;
const options = { sparsity: 0.5, sink: 64, recent: 64 };
const scores: Partial<PlanInput> = { file: 'full_attention_heads.tsv', options };
const config = (rest: string): string => `{"model_type": "mistral", "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 64, ${rest}}`;

const hostile: readonly (readonly [string, string | Uint8Array, Partial<PlanInput>, string])[] = [
  ['scores of more than 4 MiB', '0\t'.repeat(3 * MiB), scores, 'MOA1004'],
  ['4 million tabs', '\t'.repeat(4e6), scores, 'MOA1108'],
  ['2 million cells', '0\t'.repeat(2e6), scores, 'MOA1302'],
  ['2 million rows', '0\n'.repeat(2e6), scores, 'MOA1108'],
  ['4 million blank lines', '\n'.repeat(4e6), scores, 'MOA1108'],
  ['a million wrong cells', `${Array(1000).fill('x').join('\t')}\n`.repeat(1000), scores, 'MOA1303'],
  ['a cell of 4 million digits', `${'9'.repeat(4e6)}\t1`, scores, 'MOA1303'],
  ['an exponent of 4 million digits', `1e${'9'.repeat(4e6)}\t1`, scores, 'MOA1303'],
  ['terminal escapes', '\u001b[2J\u202e\t1', scores, 'MOA1303'],
  ['a NUL', '1\t0\0', scores, 'MOA1303'],
  ['UTF-16', Buffer.from('\ufeff1\t0', 'utf16le'), scores, 'MOA1010'],
  ['a byte order mark', '\ufeff1\t0', scores, 'MOA1011'],
  ['bytes that are no text', Uint8Array.from([0x31, 0x09, 0xff, 0xfe]), scores, 'MOA1010'],
  ['a config beside it of 4 million open arrays', '1\t0', { file: 'a.tsv', options: { sparsity: 0.5 }, beside: { file: 'config.json', text: '['.repeat(4e6) } }, 'MOA1016'],
  ['a config beside it with __proto__', '1\t0', { file: 'a.tsv', options: { sparsity: 0.5 }, beside: { file: 'config.json', text: '{"__proto__": {"sink_size": 1}, "recent_size": 1}' } }, 'MOA1014'],
  ['half a million layer types', config(`"layer_types": [${'"x",'.repeat(5e5)}"x"]`), {}, 'MOA1108'],
  ['a layer type that steers a terminal', config('"layer_types": ["\\u001b[2J", "full_attention"]'), {}, 'MOA1308'],
  ['a model type of a million letters', config(`"sliding_window": null`).replace('mistral', 'm'.repeat(1e6)), {}, 'MOA1331'],
  ['100,000 keys that may matter', config(`"sliding_window": null, ${Array.from({ length: 1e5 }, (_, n) => `"head_${n}": 1`).join()}`), {}, 'MOA1332'],
  ['a million heads by layer', config(`"sliding_window": null, "num_attention_heads_per_layer": [${'1,'.repeat(1e6)}1]`), {}, 'MOA1333'],
  ['a model type of Object.prototype', config(`"sliding_window": null`).replace('mistral', 'toString'), {}, 'MOA1331'],
  ['a window beyond 2^53', config('"sliding_window": 9007199254740993'), {}, 'MOA1106'],
  ['a window that JSON.parse makes Infinity', config('"sliding_window": 1e999'), {}, 'MOA1015'],
  ['two windows', config('"sliding_window": 64, "sliding_window": 128'), {}, 'MOA1013'],
  ['300,000 heads of HeadKV', `{${Array.from({ length: 3e5 }, (_, n) => `"${n % 1000}-${Math.floor(n / 1000)}":[]`).join()}}`, {}, 'MOA1324'],
  ['200,000 types of MInference', `[{${Array.from({ length: 2e5 }, (_, n) => `"${n}":["t${n}"]`).join()}}]`, {}, 'MOA1321'],
  ['100,000 static heads of MInference', `[{${Array.from({ length: 1e5 }, (_, n) => `"\\u001b${n}":["stream_llm"]`).join()}}]`, {}, 'MOA1321'],
  ['100,000 unknown keys', `{"start_size": 1, ${Array.from({ length: 1e5 }, (_, n) => `"recent_siz${n}":0`).join()}}`, {}, 'MOA1102'],
];

test.each(hostile)('%s', (_, text, rest, code) => {
  const start = performance.now();
  const { value, codes, text: messages } = collect((diagnostics) => readPlan({ text, file: 'input.json', ...rest }, undefined, { queryHeads: 2 }, diagnostics));
  expect(performance.now() - start).toBeLessThan(5000);
  expect(value).toBeUndefined();
  expect(codes).toContain(code);
  expect(messages).toMatch(/^[\x20-\x7e\n]*$/);
  for (const line of messages.split('\n')) expect(line.length).toBeLessThan(400);
});
