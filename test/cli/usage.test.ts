import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { repositoryPath } from './installed.ts';
import { run, runMany, tinyPlan } from './support.ts';

test('--version is the one of package.json', () => {
  const { version } = JSON.parse(readFileSync(repositoryPath('package.json'), 'utf8')) as { version: string };
  expect(run(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
});

const help = [
  [['--help'], ['compile [options] <plan>', 'inspect [options] <plan>', 'cache <action>']],
  [['compile', '--help'], ['--arch <list>', '--emit <kinds>', '--model <config.json>', '--check', '--nvcc <path>', '--kv-cache-dtype <type>', '--ablate <list>']],
  [['inspect', '--help'], ['--lengths <list>', '--kv-heads <n>']],
] as const;
const helpResults = runMany(help.map(([args]) => args));

test.each(help.map(([args, lines], index) => [args.join(' '), lines, helpResults[index]!] as const))('%s prints help and succeeds', (_, lines, result) => {
  for (const line of lines) expect(result.stdout).toContain(line);
  expect(result).toMatchObject({ status: 0, stderr: '' });
});

const misuses = [
  [[], "missing required argument 'plan'"],
  [['--archs', 'sm_80', tinyPlan], "unknown option '--archs'"],
  [[tinyPlan, 'another.json'], 'too many arguments'],
  [[tinyPlan, '--emit=cuda,ptx'], "'ptx' is none of ir, cuda, cubin, ts"],
  [[tinyPlan, '--emit='], 'the list is empty'],
  [[tinyPlan, '--dtype', 'fp8'], "'fp8' is neither bf16 nor fp16"],
  [[tinyPlan, '--kv-cache-dtype', 'int8'], "'int8' is neither auto nor e4m3."],
  [[tinyPlan, '--kv-cache-dtype', 'fp8_e5m2'], "'fp8_e5m2' is neither auto nor e4m3."],
  [['inspect', tinyPlan, '--kv-cache-dtype', 'E4M3'], 'Did you mean e4m3?'],
  [[tinyPlan, '--kv-cache-dtype', 'float8_e4m3fn'], 'Did you mean e4m3?'],
  [[tinyPlan, '--kv-cache-dtype', 'e4m4'], 'Did you mean e4m3?'],
  [[tinyPlan, '--ablate', 'schedule'], "'schedule' is none of unspecialised, tensor-cores, cuda-cores"],
  [[tinyPlan, '--ablate', 'tensor-cores,cuda-cores'], 'tensor-cores and cuda-cores exclude each other'],
  [[tinyPlan, '--ablate='], 'the list is empty'],
  [[tinyPlan, '-j', '0'], "'0' is not a positive integer"],
  [[tinyPlan, '--print-ir-after', 'tile'], 'passes are canonicalizeRules, resolveGqa'],
  [[tinyPlan, '--stop-after', 'all'], 'name one pass'],
  [['inspect', tinyPlan, '--lengths', '4096,12q'], "'12q' is not a length"],
  [['cache', 'purge'], 'Allowed choices are ls, clear'],
  [[tinyPlan, '--arch', 'sm_80', '--check'], 'MOA2002'],
  [[tinyPlan, '--arch', 'sm_80', '--emit=cuda'], 'MOA2001: a package needs a folder'],
] as const;
const misuseResults = runMany(misuses.map(([args]) => args));

test.each(misuses.map(([args, message], index) => [args.join(' '), message, misuseResults[index]!] as const))('"%s" is bad usage: 2, on stderr only', (_, message, result) => {
  expect(result.stderr).toContain(message);
  expect(result).toMatchObject({ status: 2, stdout: '' });
});

test('the exit code is that of the process', () => {
  expect(run(['--archs']).status).toBe(2);
});

test('without a folder the IR goes to stdout; the cache is listed and cleared', () => {
  const [ir, list, clear] = runMany([[tinyPlan, '--arch', 'sm_80', '--emit=ir'], ['cache', 'ls'], ['cache', 'clear']]);
  expect(ir).toMatchObject({ status: 0, stdout: expect.stringMatching(/^scheduledModule \{/), stderr: '' });
  expect(list).toMatchObject({ status: 0, stdout: expect.stringMatching(/^0 entries, 0 B in /) });
  expect(clear).toMatchObject({ status: 0, stdout: expect.stringMatching(/^removed 0 entries/) });
});
