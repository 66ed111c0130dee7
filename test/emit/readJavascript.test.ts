/** What `printJavascript` writes is read back, and no other text is taken for it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printJavascript } from '../../src/emit/printJavascript.ts';
import { readDefinition } from '../../src/emit/readDefinition.ts';
import { readJavascript } from '../../src/emit/readJavascript.ts';
import { definitionFormat } from '../../src/ir/planDefinition.ts';

const name = fc.string().filter((key) => key !== '__proto__');
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, false, 0, -1, 1e21, 1.5e-7, 2 ** 53),
    fc.integer(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.string(),
    fc.constantFrom("it's", '"', '\\', "\\'", '\\"', '// no comment', '\n\u2028\u0000'),
    fc.array(tie('value')),
    fc.dictionary(name, tie('value'), { noNullPrototype: true }),
  ),
}));

test('reads back what was printed, after any text and with comments between', () => {
  const words = (item: unknown): string | undefined =>
    typeof item === 'object' && item !== null ? "it's { [ a rule" : undefined;
  fc.assert(
    fc.property(value, fc.boolean(), (printed, comments) => {
      const text = printJavascript(printed, '', comments ? words : undefined);
      expect(readJavascript(`const x = ${text};\n`, 'const x = '.length)).toEqual(printed);
    }),
    { numRuns: 500 },
  );
});

describe('refuses', () => {
  const refused = ['', ' ', '{', '[1', '[1 2]', '{ a: 1, a: 2 }', '{ a }', "'a", "'\n'", "'\\x'"];
  const code = ['f()', 'x', '1 + ', '[f()]', '(1)', '`a`', '"a"', '0x10', '01e', 'NaN', '--1'];
  test.each([...refused, ...code])('%j', (text) => {
    const found = readJavascript(text, 0);
    // A number may begin what is no number; the rest is not looked at.
    if (found !== undefined) expect(typeof found).toBe('number');
  });

  test('deep nesting, without an overflow of the stack', () => {
    expect(readJavascript('['.repeat(100_000), 0)).toBeUndefined();
  });

  test('any text: never throws', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...`{}[]:,'\\"/a1-. \n`) }),
        (text) => void readJavascript(text, 0),
      ),
      { numRuns: 2000 },
    );
  });
});

describe('a definition', () => {
  const whole = {
    format: definitionFormat,
    shape: { layers: 1 },
    layers: [{}],
    kernels: [{ name: 'k', source: 'k.cu', architectures: [] }],
    cubins: {},
  };
  const script = (definition: unknown): string =>
    `import { Plan } from 'x';\nexport const definition = ${printJavascript(definition)};\n`;

  test('of index.js and of JSON', () => {
    expect(readDefinition(script(whole), 'javascript')).toEqual(whole);
    expect(readDefinition(JSON.stringify(whole), 'json')).toEqual(whole);
  });

  test.each([
    ['no export', 'export const other = {};', 'it exports no definition that can be read'],
    ['a list', script([]), 'its definition is no object'],
    ['another format', script({ ...whole, format: 4 }), 'its definition has format 4'],
    ['no layers', script({ ...whole, layers: [] }), 'its definition has no shape or no layers'],
    [
      'kernels without names',
      script({ ...whole, kernels: [{}] }),
      'its definition has damaged kernels',
    ],
    [
      'cubins that are no paths',
      script({ ...whole, cubins: { a: 1 } }),
      'its definition names no cubins',
    ],
  ])('%s', (_, text, problem) => {
    expect(readDefinition(text, 'javascript')).toContain(problem);
  });
});
