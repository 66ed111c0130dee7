import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DiagnosticList, formatDiagnostic } from '../../src/util/diagnostics.ts';
import { readJson, toJsonValue, type JsonLimits } from '../../src/util/jsonReader.ts';

function read(input: Uint8Array | string, limits: Partial<JsonLimits> = {}) {
  const diagnostics = new DiagnosticList();
  const document = readJson(input, 'a.json', diagnostics, limits);
  return { document, text: diagnostics.toArray().map(formatDiagnostic).join('\n'), codes: diagnostics.toArray().map(({ code }) => code) };
}

describe('valid JSON', () => {
  it('gives what JSON.parse gives', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), fc.constantFrom(undefined, 1, 4), (text, indent) => {
        const forbidden = /"(__proto__|constructor|prototype)"/.test(text);
        const value: unknown = JSON.parse(text);
        const { document, codes } = read(JSON.stringify(value, null, indent));
        if (forbidden) return;
        expect(codes).toEqual([]);
        expect(toJsonValue(document!.root)).toEqual(value);
      }),
      { numRuns: 1000 },
    );
  });

  it.each(['0', '-0', '-12.5e-3', '1E+2', '1e308', '5e-324', ' \t\r\n7 ', '""', '"\\u00e9\\ud83d\\ude00\\n\\/"', '"\u20ac"', 'null', '[]', '{}', '[[],{"a":[1,2]}]'])(
    'reads %s',
    (text) => expect(toJsonValue(read(text).document!.root)).toEqual(JSON.parse(text)),
  );

  it('knows where keys and values are, with any line end', () => {
    const text = '{\n "a": 1,\r\n "b": [\r  true, "x"]\n}';
    const { root, source } = read(text).document!;
    if (root.kind !== 'object') throw new Error('not an object');
    const b = root.members.get('b')!;
    expect(source.locate(b.keyOffset)).toEqual({ file: 'a.json', line: 3, column: 2 });
    expect(b.value.kind === 'array' && b.value.items.map((item) => source.locate(item.offset))).toMatchObject([{ line: 4, column: 3 }, { line: 4, column: 9 }]);
  });
});

describe('invalid JSON', () => {
  it.each([
    ['', 'a.json:1:1: error MOA1012: the text ends where a value should be'],
    ['[1,', 'a.json:1:4: error MOA1012: the text ends where a value should be'],
    ['[1', 'a.json:1:3: error MOA1012: the text ends where "," or "]" for the array that starts at 1:1 should be'],
    ['{"a"', 'a.json:1:5: error MOA1012: the text ends where ":" should be'],
    ['[1 2]', 'a.json:1:4: error MOA1012: expected "," or "]" for the array that starts at 1:1, found "2"'],
    ['[1]]', 'a.json:1:4: error MOA1012: expected the end of the text, found "]"'],
    ['[1,]', 'a.json:1:3: error MOA1012: a comma before "]"\n    help: JSON has no trailing commas; take it out'],
    ['{"a":1,}', 'a.json:1:7: error MOA1012: a comma before "}"\n    help: JSON has no trailing commas; take it out'],
    ['{a:1}', 'a.json:1:2: error MOA1012: expected a key in double quotes, found "a"'],
    ["['a']", 'a.json:1:2: error MOA1012: expected a value, found "\'"\n    help: strings take double quotes'],
    ['[1] // x', 'a.json:1:5: error MOA1012: expected the end of the text, found "/"\n    help: JSON has no comments'],
    ['[True]', 'a.json:1:2: error MOA1012: expected a value, found "True"\n    help: this is Python; write it with json.dump'],
    ['[NaN]', 'a.json:1:2: error MOA1012: expected a value, found "NaN"\n    help: JSON has no NaN or Infinity; Python\'s json.dump writes them unless allow_nan=False'],
    ['[-Infinity]', 'a.json:1:2: error MOA1012: "-Infinity" is not a JSON number\n    help: JSON has no NaN or Infinity; Python\'s json.dump writes them unless allow_nan=False'],
    ['["a', 'a.json:1:2: error MOA1012: the string that starts here has no end\n    help: close it with "'],
    ['["\\x"]', 'a.json:1:3: error MOA1012: a string holds the unknown escape "\\\\x"\n    help: write a backslash as \\\\'],
    ['["a\nb"]', 'a.json:1:4: error MOA1012: a string holds a control character\n    help: write it as \\u and four hexadecimal digits, or close the string'],
    ['\u202e', 'a.json:1:1: error MOA1012: expected a value, found "\\u202e"'],
  ])('%j', (text, message) => {
    expect(read(text)).toEqual({ document: undefined, text: message, codes: ['MOA1012'] });
  });

  it.each(['01', '1.', '.5', '+1', '-', '1e', '1e+', '0x10', '1_000', '--1', '1.2.3', 'nul', 'truex', '"\\u12g4"', '[,1]', '{"a":}', '{,}', '\f1', '\u00a01'])(
    'rejects %j as JSON.parse does',
    (text) => {
      expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
      expect(read(text).codes).toEqual(['MOA1012']);
    },
  );

  it('accepts a text exactly when JSON.parse does', () => {
    const piece = fc.constantFrom('{', '}', '[', ']', '"', ',', ':', '0', '1', '-', '.', 'e', '+', ' ', '\n', 'true', 'null', '"a"', '\\', 'u0041', 'x');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        const { document, codes } = read(text);
        let parses = true;
        try {
          JSON.parse(text);
        } catch {
          parses = false;
        }
        expect(document !== undefined || codes.includes('MOA1016')).toBe(parses);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('what JSON.parse lets through', () => {
  it('reports every duplicate and forbidden key and infinite number, and keeps the rest', () => {
    const { document, text } = read('{"a": 1,\n "a": 2,\n "__proto__": {"x": 1},\n "b": {"constructor": 0, "prototype": [1e999, -1e999]}, "\\u0061": 3}');
    expect(text).toBe(`a.json:2:2: error MOA1013: the key "a" was already given at line 1 (at a)
    help: keep one of the two
a.json:3:2: error MOA1014: the key "__proto__" is not allowed (at __proto__)
    help: take it out
a.json:4:8: error MOA1014: the key "constructor" is not allowed (at b.constructor)
    help: take it out
a.json:4:26: error MOA1014: the key "prototype" is not allowed (at b.prototype)
    help: take it out
a.json:4:40: error MOA1015: "1e999" is too large for a 64-bit float (at b.prototype[0])
    help: write a smaller number
a.json:4:47: error MOA1015: "-1e999" is too large for a 64-bit float (at b.prototype[1])
    help: write a smaller number
a.json:4:57: error MOA1013: the key "a" was already given at line 1 (at a)
    help: keep one of the two`);
    expect(toJsonValue(document!.root)).toEqual({ a: 1, b: {} });
  });

  it('rejects byte order marks, UTF-16 and broken UTF-8', () => {
    expect(read('\ufeff{}').codes).toEqual(['MOA1011']);
    expect(read(Buffer.from('\ufeff{}')).text).toBe('a.json:1:1: error MOA1011: the text starts with a byte order mark\n    help: save the file as UTF-8 without a byte order mark');
    expect(read(Buffer.from('\ufeff{}', 'utf16le')).text).toContain('the text is UTF-16, not UTF-8');
    const bad = Buffer.concat([Buffer.from('{"\ufffd\u20ac":\n "'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);
    expect(read(bad).text).toBe('a.json:2:3: error MOA1010: the text is not UTF-8\n    help: save the file as UTF-8');
    for (const bytes of [[0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0x80]]) expect(read(Uint8Array.from(bytes)).codes).toEqual(['MOA1010']);
  });

  it('keeps to its limits, exactly', () => {
    expect(read('[1,2]', { maxBytes: 5 }).codes).toEqual([]);
    expect(read('[1,2]', { maxBytes: 4 }).text).toContain('MOA1004: the input has 5 bytes, more than the limit of 4');
    expect(read('"\u20ac"', { maxBytes: 4 }).codes).toEqual(['MOA1004']);
    expect(read('[1,2]', { maxValues: 3 }).codes).toEqual([]);
    expect(read('[1,2]', { maxValues: 2 }).codes).toEqual(['MOA1017']);
    expect(read(`${'['.repeat(16)}${']'.repeat(16)}`).codes).toEqual([]);
    expect(read(`${'['.repeat(17)}${']'.repeat(17)}`).text).toBe('a.json:1:17: error MOA1016: arrays and objects are nested more than 16 deep');
    expect(read('{"a":'.repeat(17)).codes).toEqual(['MOA1016']);
  });
});
