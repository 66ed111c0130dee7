/** Options that a program gives the compiler are read strictly, as those of the command line are. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { compile, compilePackage, DiagnosticError, DiagnosticList, findArchitecture, type CompileOptions, type PackageOptions } from '../../src/index.ts';

const text = readFileSync(new URL('../fixtures/plans/tiny.json', import.meta.url), 'utf8');
const architectures = [findArchitecture('sm_80')!];

function problemsOf(options: unknown): string {
  const diagnostics = new DiagnosticList();
  const compiled = compile({ file: 'tiny.json', text }, undefined, options as CompileOptions, diagnostics);
  expect(compiled === undefined).toBe(diagnostics.hasErrors);
  return diagnostics.toArray().filter(({ severity }) => severity === 'error').map(({ code, message }) => `${code}: ${message}`).join('\n');
}

test.each<[unknown, RegExp]>([
  [{ architectures, elementType: ['bf16'] }, /^MOA2010: the option "elementType" is not known; did you mean elementTypes\?$/],
  [{ architectures, decodetokens: 2, Slack: 1 }, /did you mean decodeTokens\?\nMOA2010: .*did you mean slack\?$/],
  [{ architectures, model: { kv_heads: 2 } }, /^MOA2010: the option model: "kv_heads" is not known; did you mean kvHeads\?$/],
  [{ architectures, model: 7 }, /the option model is 7/],
  [{ architectures, elementTypes: [] }, /elementTypes is an array of 0; it is an array of one or more/],
  [{ architectures, elementTypes: ['fp8'] }, /elementTypes/],
  [{ architectures, elementTypes: 'bf16' }, /elementTypes is "bf16"/],
  [{ architectures, elementTypes: ['bf16', 'bf16'] }, /each once/],
  [{ architectures, rope: 'no' }, /rope is "no"; it is true or false/],
  [{ architectures, rope: { theta: 10000 } }, /rope is an object/],
  [{ architectures, cacheType: 'fp8_e4m3' }, /cacheType is "fp8_e4m3"; it is element or e4m3/],
  [{ architectures, slack: -1 }, /slack is -1/],
  [{ architectures, slack: '64' }, /slack is "64"/],
  [{ architectures, decodeTokens: 17 }, /decodeTokens is 17; it is an integer from 1 to 16/],
  [{ architectures, decodeTokens: 2n }, /decodeTokens is the BigInt 2/],
  [{ architectures, ablations: ['rope'] }, /ablations/],
  [{ architectures, observe: {} }, /observe is an object; it is a function/],
  [{}, /architectures is undefined/],
  [{ architectures: ['sm_80'] }, /architectures\[0\] is "sm_80", no architecture/],
  [{ architectures: 'sm_80' }, /architectures is "sm_80"; it is an array/],
  [{ architectures: [findArchitecture('sm_90')!, ...architectures] }, /architectures\[1\] is an object, which does not rise/],
  [undefined, /the options of compile are undefined/],
])('options %# are refused', (options, message) => {
  expect(problemsOf(options)).toMatch(message);
});

test('what is legal is taken', () => {
  expect(problemsOf({ architectures, elementTypes: ['fp16'], rope: false, cacheType: 'e4m3', slack: 64, decodeTokens: 2, ablations: [], model: {}, observe: () => {} })).toBe('');
});

test('options of a package too', async () => {
  const compiled = compile({ file: 'tiny.json', text }, undefined, { architectures }, new DiagnosticList())!;
  const options: PackageOptions = { emit: new Set(['ts']), targets: [{ name: 'sm_80', ptx: false }], planText: text, version: '0' };
  const built = await compilePackage(compiled, options);
  const manifest = JSON.parse(String(built.files.files.get('manifest.json'))) as { readonly serves: readonly string[] };
  expect(manifest.serves).toContain('8.0');
  for (const wrong of [{ ...options, target: [] }, { ...options, planFact: {} }]) await expect(compilePackage(compiled, wrong as PackageOptions)).rejects.toThrow(DiagnosticError);
  await expect(compilePackage(compiled, { ...options, emits: 1 } as unknown as PackageOptions)).rejects.toThrow(/MOA2010: the option of compilePackage "emits" is not known; did you mean emit\?/);
});
