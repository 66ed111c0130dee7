import { expect, test } from 'vitest';
import { pipeline } from '../../src/passes/pipeline.ts';
import { run, runMany, tinyPlan } from './support.ts';

const base = [tinyPlan, '--arch', 'sm_80', '--emit=ir'];
const names = pipeline.map((pass) => pass.name);
const after = runMany(names.map((name) => [...base, '--dry-run', '-q', '--print-ir-after', name]));
const stopped = runMany(names.map((name) => [...base, '--stop-after', name]));
const [all] = runMany([[...base, '--dry-run', '-q', '--print-ir-after', 'all']]);

test.each(names.map((name, index) => [name, index] as const))('the IR after %s, as --stop-after prints it', (name, index) => {
  const { status, stdout, stderr } = after[index]!;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(new RegExp(`^// after ${name}( \\(unchanged\\))?\\n\\w+Module \\{\\n[^]*\\n\\}\\n$`));
  expect(stopped[index]).toEqual({ status: 0, stdout: stdout.slice(stdout.indexOf('\n') + 1), stderr: '' });
});

test('all is every pass in order', () => {
  expect(all!.stdout).toBe(after.map(({ stdout }) => stdout).join(''));
  const [both] = runMany([[...base, '--print-ir-after', 'all', '--stop-after', 'resolveGqa']]);
  expect(both!.stdout).toBe(after.slice(0, 2).map(({ stdout }) => stdout).join(''));
});

test('stopping takes the element type of the plan, as compiling does', () => {
  expect(stopped.at(-1)!.stdout).toContain('_fp16_');
  expect(stopped.at(-1)!.stdout).not.toContain('_bf16_');
});

test('MOA_DEBUG adds to stderr only, more with each level', () => {
  const runs = ['', '0', '1', '2', '3', 'x'].map((level) => run(base, { variables: { MOA_DEBUG: level } }));
  expect(new Set(runs.map(({ status, stdout }) => `${status} ${stdout}`)).size).toBe(1);
  const [unset, zero, timing, changed, ir, nonsense] = runs.map(({ stderr }) => stderr);
  expect([unset, zero, nonsense]).toEqual(['', '', '']);
  expect(timing!.trimEnd().split('\n').map((line) => /^(\w+): [\d.]+ ms/.exec(line)?.[1])).toEqual(names);
  expect(changed!.length).toBeGreaterThan(timing!.length);
  expect(ir!.length).toBeGreaterThanOrEqual(changed!.length);
});
