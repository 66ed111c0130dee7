import { describe, expect, it } from 'vitest';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { collect, listPublishedPlans } from './support.ts';

const parse = (plan: unknown) => collect((diagnostics) => parsePlan(typeof plan === 'string' ? plan : JSON.stringify(plan), 'plan.json', diagnostics));

const model = { layers: 2, queryHeads: 2, kvHeads: 1, headDim: 64 };
const alphas = [
  [0, -1024],
  [256, 0],
];
const betas = [
  [0.5, 1],
  [0, 0.5],
];
/** A right plan in our format with some members replaced; undefined takes one out. */
const ours = (changes: object = {}) => ({ format: 'moa-plan', version: 1, model, alphas, betas, ...changes });

const half = { kind: 'rule', alpha: 0, numerator: 1, denominator: 2 };

describe('right plans', () => {
  it("reads the authors' format", () => {
    const { value, text } = parse('{"alphas": [[0.0, -1024.0], [256.0, -0.0]],\n "betas": [[0.5, 1.0], [0.0, 0.5]]}');
    expect(text).toBe('');
    expect(value).toEqual({
      kind: 'parsedPlan',
      format: 'moa',
      file: 'plan.json',
      layers: 2,
      queryHeads: 2,
      limits: { sink: 64, page: 64, minSpan: 128 },
      rules: [
        [half, { kind: 'rule', alpha: -1024, numerator: 1, denominator: 1 }],
        [{ kind: 'rule', alpha: 256, numerator: 0, denominator: 1 }, half],
      ],
      alphasPlace: { path: 'alphas', location: { file: 'plan.json', line: 1, column: 12 } },
    });
    expect(value!.rules[0]![0]).toBe(value!.rules[1]![1]);
  });

  it('reads our format, with what is carried', () => {
    const certificate = { bound: 0.25, nested: [{ a: null, b: [true, 'x'] }] };
    const { value, text } = parse(ours({ model: { ...model, name: 'org/a-1.5', elementType: 'bf16' }, sink: 0, page: 64, minSpan: 192, certificate, evidence: {} }));
    expect(text).toBe('');
    expect(value).toMatchObject({ format: 'moa-plan', limits: { sink: 0, page: 64, minSpan: 192 }, certificate, evidence: {} });
    expect(value!.model).toMatchObject({ shape: model, attention: {}, name: 'org/a-1.5', elementType: 'bf16', places: { kvHeads: { path: 'model.kvHeads' } } });
  });

  it('allows what a float plan needs: spans below the shortest, negative constants, the largest counts', () => {
    expect(parse({ alphas: [[-(2 ** 24)]], betas: [[0]] }).text).toBe('');
    const wide = Array.from({ length: 1024 }, () => 0);
    expect(parse({ alphas: [wide], betas: [wide] }).text).toBe('');
    const tall = wide.map(() => [0]);
    expect(parse({ alphas: tall, betas: tall }).value).toMatchObject({ layers: 1024, queryHeads: 1 });
  });
});

describe('one mistake', () => {
  it.each<[string, unknown, string]>([
    ['no object', [1], 'MOA1101: a plan is an object, this is an array'],
    ['empty object', {}, 'MOA1103: the key "alphas" is missing'],
    ['unknown key', { alphas, betas, alphaz: 1 }, 'MOA1102: unknown key "alphaz" (at alphaz)\n    help: take it out; the keys here are alphas, betas'],
    ['misspelt key', ours({ minspan: 128 }), 'MOA1102: unknown key "minspan" (at minspan)\n    help: did you mean "minSpan"?'],
    ['misspelt model key', ours({ model: { ...model, kv_heads: 1, kvHeads: undefined } }), 'MOA1102: unknown key "kv_heads" (at model.kv_heads)\n    help: did you mean "kvHeads"?'],
    ['key of our format only', { alphas, betas, sink: 0 }, 'MOA1102: unknown key "sink" (at sink)'],
    ['other format', ours({ format: 'duo' }), 'MOA1105: unknown format "duo" (at format)'],
    ['format of a wrong type', ours({ format: 1 }), 'MOA1104: expected a string, found a number (at format)'],
    ['newer version', { ...ours(), version: 2, later: 1 }, 'MOA1105: unknown version 2 (at version)'],
    ['no version', ours({ version: undefined }), 'MOA1103: the key "version" is missing'],
    ['no format', ours({ format: undefined }), 'MOA1103: the key "format" is missing'],
    ['no model', ours({ model: undefined }), 'MOA1103: the key "model" is missing'],
    ['no kvHeads', ours({ model: { ...model, kvHeads: undefined } }), 'MOA1103: the key "kvHeads" is missing (at model)'],
    ['model of a wrong type', ours({ model: 7 }), 'MOA1104: expected an object, found a number (at model)'],
    ['fractional heads', ours({ model: { ...model, headDim: 64.5 } }), 'MOA1104: expected an integer, found 64.5 (at model.headDim)'],
    ['no heads', ours({ model: { ...model, kvHeads: 0 } }), 'MOA1106: 0 is not from 1 to 1024 (at model.kvHeads)'],
    ['bad name', ours({ model: { ...model, name: '*/ #include "x"\n' } }), 'MOA1117: the name "*/ #include \\"x\\"\\n" holds characters that are not allowed'],
    ['long name', ours({ model: { ...model, name: 'a'.repeat(129) } }), 'MOA1117'],
    ['bad cap', ours({ model: { ...model, softCap: -1 } }), 'MOA1106: -1 is not from 0.001 to 1000, or 0 (at model.softCap)'],
    ['cap of a wrong type', ours({ model: { ...model, softCap: '50' } }), 'MOA1104: expected a number, found a string (at model.softCap)'],
    ['learned sinks of a wrong type', ours({ model: { ...model, learnedSinks: [0.5] } }), 'MOA1104: expected true or false, found an array (at model.learnedSinks)'],
    ['bad scale', ours({ model: { ...model, scale: 0 } }), 'MOA1106: 0 is not from 0.000001 to 1000000 (at model.scale)'],
    ['bad element type', ours({ model: { ...model, elementType: 'fp8' } }), 'MOA1118: unknown element type "fp8" (at model.elementType)'],
    ['other page', ours({ page: 16 }), 'MOA1114: page is 16; the kernels have pages of 64 tokens (at page)'],
    ['odd minSpan', ours({ minSpan: 100 }), 'MOA1116: minSpan 100 is not a positive multiple of 64, the page (at minSpan)'],
    ['minSpan above the limit', ours({ minSpan: 2 ** 20 + 64 }), 'MOA1106: 1048640 is not from 0 to 1048576 (at minSpan)'],
    ['sink of minSpan', ours({ sink: 128 }), 'MOA1115: sink 128 is not less than minSpan 128 (at sink)'],
    ['minSpan of the default sink', ours({ minSpan: 64 }), 'MOA1115: sink 64 is not less than minSpan 64 (at minSpan)'],
    ['negative sink', ours({ sink: -1 }), 'MOA1106: -1 is not from 0 to 1048576 (at sink)'],
    ['certificate of a wrong type', ours({ certificate: 'yes' }), 'MOA1104: expected an object, found a string (at certificate)'],
    ['matrix of a wrong type', { alphas: {}, betas }, 'MOA1104: expected an array with a row for each layer, found an object (at alphas)'],
    ['row of a wrong type', { alphas: [[0, 0], 5], betas }, 'MOA1104: expected a row of numbers, found a number (at alphas[1])'],
    ['number of a wrong type', { alphas: [[0, '0'], [0, 0]], betas }, 'MOA1104: expected a number, found a string (at alphas[0][1])'],
    ['null', { alphas: [[0, null], [0, 0]], betas }, 'MOA1104: expected a number, found null (at alphas[0][1])'],
    ['fractional alpha', { alphas: [[0, 0.5], [0, 0]], betas }, 'MOA1110: alpha 0.5 is not an integer (at alphas[0][1])'],
    ['large alpha', { alphas: [[0, 2 ** 24 + 1], [0, 0]], betas }, 'MOA1110: alpha 16777217 is not from -16777216 to 16777216 (at alphas[0][1])'],
    ['rounded alpha', '{"alphas": [[9007199254740993]], "betas": [[0]]}', 'MOA1110: alpha 9007199254740992 is not from'],
    ['large beta', { alphas, betas: [[0, 1.125], [0, 0]] }, 'MOA1111: beta 1.125 is not from 0 to 1 (at betas[0][1])'],
    ['negative beta', { alphas, betas: [[0, -1e-9], [0, 0]] }, 'MOA1111: beta -1e-9 is not from 0 to 1 (at betas[0][1])'],
    ['infinite beta', '{"alphas": [[0]], "betas": [[1e999]]}', 'MOA1015: "1e999" is too large for a 64-bit float (at betas[0][0])'],
    ['ragged row', { alphas: [[0], [0, 0], [0, 0]], betas: [[0, 0], [0, 0], [0, 0]] }, 'MOA1107: this row has 1 values, the other layers have 2 (at alphas[0])'],
    ['layers of the matrices', { alphas, betas: [...betas, [0, 0]] }, 'MOA1108: betas has 3 layers, alphas has 2 (at betas)\n    see plan.json:1:11: alphas is here'],
    ['heads of the matrices', { alphas, betas: [[0], [0]] }, 'MOA1109: betas has 1 query heads a layer, alphas has 2 (at betas)'],
    ['layers of the model', ours({ model: { ...model, layers: 3 } }), 'MOA1108: alphas has 2 layers, the model has 3 (at alphas)\n    see plan.json:1:52: model.layers is 3'],
    ['heads of the model', ours({ model: { ...model, queryHeads: 4 } }), 'MOA1109: alphas has 2 query heads a layer, the model has 4 (at alphas)'],
    ['too many layers', { alphas: Array.from({ length: 1025 }, () => [0]), betas: Array.from({ length: 1025 }, () => [0]) }, 'MOA1108: 1025 layers; a plan has 1 to 1024 (at alphas)'],
    ['too many heads', { alphas: [Array.from({ length: 1025 }, () => 0)], betas: [[0]] }, 'MOA1109: 1025 query heads in a layer; a plan has 1 to 1024 (at alphas)'],
    ['no layers', { alphas: [], betas: [] }, 'MOA1108: 0 layers; a plan has 1 to 1024 (at alphas)'],
    ['no heads', { alphas: [[]], betas: [[]] }, 'MOA1109: 0 query heads in a layer; a plan has 1 to 1024 (at alphas)'],
    ['too many rules', { alphas: [Array.from({ length: 257 }, (_, i) => i)], betas: [Array.from({ length: 257 }, () => 0)] }, 'MOA1113: the plan has more than 256 different rules (at alphas[0][256])'],
  ])('%s', (_, plan, expected) => {
    const { value, text, errors } = parse(plan);
    expect(value).toBeUndefined();
    expect(errors).toBeGreaterThan(0);
    expect(text).toContain(expected);
  });

  it('256 rules are allowed', () => {
    expect(parse({ alphas: [Array.from({ length: 256 }, (_, i) => i)], betas: [Array.from({ length: 256 }, () => 0)] }).text).toBe('');
  });
});

describe('many mistakes', () => {
  it('reports ten for a plan wrong in ten places', () => {
    const text = `{
  "format": "moa-plan", "version": 1,
  "model": {"layers": 2, "queryHeads": 3, "kvHeads": "1", "head_dim": 64},
  "page": 32,
  "minSpan": 128,
  "minSpan": 256,
  "alphas": [
    [0, 0.5, 99999999],
    [0, 0]
  ],
  "betas": [
    [1.5, 1e999, true],
    [0, 0, 0]
  ]
}`;
    expect(parse(text).errors).toBe(10);
    expect(parse(text).text).toMatchInlineSnapshot(`
      "plan.json:6:3: error MOA1013: the key "minSpan" was already given at line 5 (at minSpan)
          help: keep one of the two
      plan.json:12:11: error MOA1015: "1e999" is too large for a 64-bit float (at betas[0][1])
          help: write a smaller number
      plan.json:4:11: error MOA1114: page is 32; the kernels have pages of 64 tokens (at page)
          help: leave "page" out or write 64
      plan.json:3:59: error MOA1102: unknown key "head_dim" (at model.head_dim)
          help: did you mean "headDim"?
      plan.json:3:54: error MOA1104: expected an integer, found a string (at model.kvHeads)
      plan.json:8:9: error MOA1110: alpha 0.5 is not an integer (at alphas[0][1])
          help: alpha is a whole number of tokens; it may be negative
      plan.json:8:14: error MOA1110: alpha 99999999 is not from -16777216 to 16777216 (at alphas[0][2])
          help: alpha is a whole number of tokens; it may be negative
      plan.json:9:5: error MOA1107: this row has 2 values, the other layers have 3 (at alphas[1])
          help: give every layer one number for each query head
      plan.json:12:6: error MOA1111: beta 1.5 is not from 0 to 1 (at betas[0][0])
          help: beta is the part of the sequence that a head keeps
      plan.json:12:18: error MOA1104: expected a number, found a boolean (at betas[0][2])"
    `);
  });

  it('shows a few of many equal ones and counts the rest', () => {
    const { text, errors } = parse({ alphas: [Array.from({ length: 150 }, () => 1.3)], betas: [Array.from({ length: 150 }, () => 0)] });
    expect(errors).toBe(4);
    expect(text.split('alpha 1.3 is not an integer')).toHaveLength(4);
    expect(text).toMatch(/error MOA1110: and 147 more like it, the last at alphas\[0\]\[149\] \(at alphas\[0\]\[3\]\)$/);
  });
});

it('warns once of betas that are no fraction, and compiles', () => {
  const { value, text } = parse({ alphas: [[0, 0, 0]], betas: [[1e-10, 1e-11, 1e-10]] });
  expect(value!.rules[0]![0]).toEqual({ kind: 'rule', alpha: 0, numerator: 0, denominator: 1 });
  expect(text).toBe(`plan.json:1:31: warning MOA1112: beta 1e-10 is no fraction with a denominator up to 2^30; 0/1 is used, and 1 more betas are rounded like it (at betas[0][0])
    help: spans at very long sequences may differ by a token; round beta, as in 0.125`);
});

const published = listPublishedPlans();

describe.skipIf(published.size === 0)('published plans (skipped without ../shared/plans)', () => {
  it.each([
    ['gradientai--Llama-3-8B-Instruct-262k.json', 32, 11],
    ['lmsys--vicuna-7b-v1.5-16k.json', 32, 9],
    ['meta-llama--Llama-3.2-1B-Instruct.json', 16, 11],
  ])('%s', (name, layers, rules) => {
    const { value, text } = collect((diagnostics) => parsePlan(published.get(name)!, name, diagnostics));
    expect(text).toBe('');
    expect(value).toMatchObject({ format: 'moa', layers, queryHeads: 32 });
    expect(new Set(value!.rules.flat()).size).toBe(rules);
  });
});
