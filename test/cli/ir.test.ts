import { expect, test } from 'vitest';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runMany, tinyPlan } from './support.ts';

const base = [tinyPlan, '--arch', 'sm_80', '--emit=ir'];
const names = pipeline.map((pass) => pass.name);
const levels = ['', '0', '1', '2', '3', 'x'];
const results = runMany([
  ...names.map((name) => [...base, '--dry-run', '-q', '--print-ir-after', name]),
  ...names.map((name) => [...base, '--stop-after', name]),
  [...base, '--dry-run', '-q', '--print-ir-after', 'all'],
  [...base, '--print-ir-after', 'all', '--stop-after', 'resolveGqa'],
  ...levels.map((level) => ({ args: base, variables: { MOA_DEBUG: level } })),
]);
const after = results.slice(0, names.length);
const stopped = results.slice(names.length, 2 * names.length);
const [all, both, ...debugged] = results.slice(2 * names.length);

test.each(names.map((name, index) => [name, index] as const))('the IR after %s, as --stop-after prints it', (name, index) => {
  const { status, stdout, stderr } = after[index]!;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(new RegExp(`^// after ${name}( \\(unchanged\\))?\\n\\w+Module \\{\\n[^]*\\n\\}\\n$`));
  expect(stopped[index]).toEqual({ status: 0, stdout: stdout.slice(stdout.indexOf('\n') + 1), stderr: '' });
});

test('all is every pass in order', () => {
  expect(all!.stdout).toBe(after.map(({ stdout }) => stdout).join(''));
  expect(both!.stdout).toBe(after.slice(0, 2).map(({ stdout }) => stdout).join(''));
});

test('stopping takes the element type of the plan, as compiling does', () => {
  expect(stopped.at(-1)!.stdout).toContain('_fp16_');
  expect(stopped.at(-1)!.stdout).not.toContain('_bf16_');
});

test('MOA_DEBUG adds to stderr only, more with each level', () => {
  expect(new Set(debugged.map(({ status, stdout }) => `${status} ${stdout}`)).size).toBe(1);
  const [unset, zero, timing, changed, ir, nonsense] = debugged.map(({ stderr }) => stderr);
  expect([unset, zero, nonsense]).toEqual(['', '', '']);
  expect(timing!.trimEnd().split('\n').map((line) => /^(\w+): [\d.]+ ms/.exec(line)?.[1])).toEqual(names);
  expect(changed!.length).toBeGreaterThan(timing!.length);
  expect(ir!.length).toBeGreaterThanOrEqual(changed!.length);
});
