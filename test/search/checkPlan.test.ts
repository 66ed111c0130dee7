import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { spanOf } from '../../src/ir/affine.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { ruleOf } from '../../src/plan/spanRule.ts';
import type { PlanCheck } from '../../src/search/check/check.ts';
import { checkPlan } from '../../src/search/check/checkPlan.ts';
import { readHeadLosses } from '../../src/search/check/headLosses.ts';
import { leastOfSets } from '../../src/search/check/lagrangianBound.ts';
import { readCertificate } from '../../src/search/check/readCertificate.ts';
import { spanAt } from '../../src/search/check/spanAt.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { runMany } from '../cli/support.ts';
import { randomOf } from '../random.ts';
import { Instance, type InstanceOptions, type TestConstraint, type TestPlan } from './instance.ts';
import { said, scratchBytes, scratchFolder, syntheticProfile } from './support.ts';

const shape = { layers: 2, queryHeads: 4, kvHeads: 2 };
const profiled = [256, 512];
const profile = syntheticProfile({ ...shape, lengths: profiled, seed: 3 });
/** A window that is not whole pages, and one that no profile fills. */
const windows = [192, null] as const;
const windowed = syntheticProfile({ ...shape, lengths: profiled, seed: 3, windows });
const [odd, wide] = [[200, 448], [640, 640]].map((own) => ({ windows: own, profile: syntheticProfile({ ...shape, lengths: profiled, seed: 3, windows: own }) }));
const latency: TestConstraint = {
  kind: 'latency',
  length: 512,
  bound: 0.7,
  table: { format: 'moa-latency', version: 1, device: 'a GPU', phase: 'decode', unit: 'us', headDim: 64, groupSize: 2, command: 'measure', lengths: [{ length: 512, spans: [128, 256, 512], times: [1, 1.5, 3] }] },
};
const base: InstanceOptions = {
  ...shape,
  profile,
  profiled,
  granularity: 'kv-head',
  rulesPerLayer: 2,
  candidates: [[128, 0], [0, 0.5], [64, 0.5], [-64, 0.75], [0, 1]],
  objective: [{ length: 512, weight: 1 }],
  constraints: [{ kind: 'density', length: 512, bound: 0.6 }],
};
const variants: Readonly<Record<string, InstanceOptions>> = {
  'KV heads, one density': base,
  'query heads, one rule': { ...base, granularity: 'query-head', rulesPerLayer: 1 },
  'query heads, three rules': { ...base, granularity: 'query-head', rulesPerLayer: 3, objective: [{ length: 256, weight: 2 }, { length: 512, weight: 0.5 }] },
  'any number of rules, and latency': { ...base, rulesPerLayer: 0, constraints: [...base.constraints, latency] },
  'a longer length than was profiled': { ...base, objective: [{ length: 512, weight: 1 }, { length: 1024, weight: 1 }, { length: 1600, weight: 1 }], constraints: [...base.constraints, { kind: 'loss', length: 1024, bound: 0.5 }, { kind: 'density', length: 1024, bound: 0.55 }] },
  "a model's own window in one layer": { ...base, profile: windowed, windows },
  'its own windows, by query head, with latency': { ...base, ...odd, granularity: 'query-head', rulesPerLayer: 1, constraints: [{ kind: 'density', length: 512, bound: 0.35 }, { ...latency, bound: 0.4 }] },
  'its own windows, at longer lengths': { ...base, ...odd, objective: [{ length: 512, weight: 1 }, { length: 1024, weight: 1 }], constraints: [{ kind: 'density', length: 1024, bound: 0.15 }, { kind: 'loss', length: 1024, bound: 0.18 }] },
  'windows that are longer than all that was profiled': { ...base, ...wide, objective: [{ length: 512, weight: 1 }, { length: 1024, weight: 1 }], constraints: [{ kind: 'density', length: 1024, bound: 0.5 }] },
};
const instances = Object.fromEntries(Object.entries(variants).map(([name, options]) => [name, new Instance(options)]));
const first = instances['KV heads, one density']!;

async function check(plan: TestPlan, profilePath: string | undefined = profile.path): Promise<{ problems: string[]; result: PlanCheck | undefined; failures: string[] }> {
  const diagnostics = new DiagnosticList();
  const parsed = parsePlan(JSON.stringify(plan), 'plan.json', diagnostics);
  const certificate = parsed && readCertificate(parsed, diagnostics);
  if (parsed === undefined || certificate === undefined) return { problems: said(diagnostics), result: undefined, failures: [] };
  const losses = profilePath === '' ? undefined : await readHeadLosses(profilePath, { ...certificate.profile, layers: parsed.layers, queryHeads: parsed.queryHeads, sinkPages: 1, windows: parsed.model?.windows }, diagnostics);
  const result = checkPlan(parsed, certificate, losses);
  const failures = result.checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
  expect(result.ok).toBe(failures.length === 0);
  return { problems: said(diagnostics), result, failures };
}

/** The best plan, with the multipliers of a small grid that prove most. */
function right(instance: Instance): TestPlan {
  const { value, choices } = instance.optimum();
  const grid = Array.from({ length: 12 }, (_, power) => instance.limits.map(() => value * 2 ** (power - 9)));
  const bounds = grid.map((multipliers) => instance.bound(multipliers));
  return instance.plan(choices, grid[bounds.indexOf(Math.max(...bounds))]!, value);
}

const edited = (plan: TestPlan, change: (certificate: Record<string, unknown>, plan: TestPlan) => void): TestPlan => {
  const copy = structuredClone(plan);
  change(copy.certificate, copy);
  return copy;
};

describe.each(Object.keys(variants))('%s', (name) => {
  const instance = instances[name]!;

  test('a right certificate is accepted', async () => {
    const { problems, result, failures } = await check(right(instance), instance.options.profile.path);
    expect({ problems, failures }).toEqual({ problems: [], failures: [] });
    expect(result!.checks.filter(({ status }) => status === 'not checked').map((item) => item.name)).toEqual(['exact lower bound']);
    expect(result!.gap).toBeGreaterThanOrEqual(0);
    expect(result!.gap).toBeLessThan(0.7);
  });

  test('at any multipliers the bound is the one of brute force, and no more than the optimum', async () => {
    const { value, choices } = instance.optimum();
    expect(Number.isFinite(value)).toBe(true);
    const random = randomOf(7);
    for (let round = 0; round < 20; round += 1) {
      const multipliers = instance.limits.map(() => (random() < 0.2 ? 0 : value * random() ** 3));
      const plan = instance.plan(choices, multipliers, value);
      const { result, failures } = await check(plan, instance.options.profile.path);
      const { bound } = result!.checks.find((item) => item.name === 'lower bound')!.figures!;
      expect(bound!).toBeCloseTo(instance.bound(multipliers), 12);
      expect(bound!).toBeLessThanOrEqual(value * (1 + 1e-9));
      expect(failures).toEqual([]);
    }
  });

  test('without the profile, the rest is checked', async () => {
    const { result, failures } = await check(right(instance), '');
    expect(failures).toEqual([]);
    expect(result!.checks.find((item) => item.name === 'value')).toMatchObject({ status: 'not checked', detail: 'no profile was given: pass --profile' });
    const { kind, length } = instance.options.constraints[0]!;
    expect(result!.checks.find((item) => item.name === `${kind} at ${length}`)).toMatchObject({ status: 'ok' });
  });
});

describe('what is wrong is found', () => {
  const plan = right(first);
  const other = base.candidates.findIndex(([alpha, beta]) => alpha !== plan.alphas[0]![0] || beta !== plan.betas[0]![0]);
  const setRule = (target: TestPlan, layer: number, heads: readonly number[], candidate: number): void => {
    for (const head of heads) [target.alphas[layer]![head], target.betas[layer]![head]] = base.candidates[candidate]!;
  };

  test.each<[string, string[], (certificate: Record<string, unknown>, plan: TestPlan) => void]>([
    ['a value 1e-6 lower', ['value', 'order of bounds'], (certificate) => (certificate['value'] = (certificate['value'] as number) * (1 - 1e-6))],
    ['a value 1e-6 higher', ['value'], (certificate) => (certificate['value'] = (certificate['value'] as number) * (1 + 1e-6))],
    ['a lower bound raised', ['lower bound'], (certificate) => (certificate['lowerBound'] = (certificate['lowerBound'] as number) + 1e-6 * (certificate['value'] as number))],
    ['an exact bound above the value', ['order of bounds'], (certificate) => (certificate['exact'] = { lowerBound: (certificate['value'] as number) * 1.001, method: 'x' })],
    ['an exact bound below the bound', ['order of bounds'], (certificate) => (certificate['exact'] = { lowerBound: (certificate['lowerBound'] as number) - 0.001, method: 'x' })],
    ['one query head of a KV head with another rule', ['granularity'], (_, target) => setRule(target, 0, [1], other)],
    ['a rule that is no candidate', ['candidates'], (_, target) => (target.alphas[1]![2] = 1)],
    ['a negative multiplier', ['multipliers'], (certificate) => (certificate['multipliers'] = [-1e-9])],
    ['another multiplier, with the old bound', ['lower bound'], (certificate) => (certificate['multipliers'] = [(certificate['multipliers'] as number[])[0]! * 10])],
    ['a candidate more', ['instance'], (certificate) => (certificate['candidates'] = [...base.candidates, [256, 0]])],
    ['a candidate changed', ['instance'], (certificate) => (certificate['candidates'] = base.candidates.map(([alpha, beta]) => (alpha === 64 ? [65, beta] : [alpha, beta])))],
    ['a constraint with another bound', ['instance'], (certificate) => (certificate['constraints'] = [{ ...base.constraints[0], bound: 0.61 }])],
    ['another hash', ['instance'], (certificate) => (certificate['instance'] = '0'.repeat(64))],
    ['another weight', ['instance', 'value'], (certificate) => (certificate['objective'] = [{ length: 512, weight: 2 }])],
    ['fewer rules a layer', ['instance'], (certificate) => (certificate['rulesPerLayer'] = 1)],
  ])('%s', async (_, expected, change) => {
    const { problems, failures } = await check(edited(plan, change));
    expect(problems).toEqual([]);
    expect(failures).toEqual(expect.arrayContaining(expected));
  });

  test('a density that all rules together exceed', async () => {
    const dense = edited(plan, (_, target) => [0, 1].forEach((layer) => setRule(target, layer, [0, 1, 2, 3], 4)));
    const { result, failures } = await check(dense);
    expect(failures).toContain('density at 512');
    expect(result!.checks.find(({ name }) => name === 'density at 512')!.figures).toMatchObject({ value: 1, limit: 0.6 });
  });

  test("one head's rule is enough to violate a bound", async () => {
    // The bound is what the best plan uses, so any longer rule is too much.
    const used = (await check(plan)).result!.checks.find(({ name }) => name === 'density at 512')!.figures!['value']!;
    const tight = new Instance({ ...base, constraints: [{ kind: 'density', length: 512, bound: used }] });
    const exact = right(tight);
    expect((await check(exact)).failures).toEqual([]);
    const short = [0, 1].flatMap((layer) => [0, 2].map((head) => ({ layer, head }))).find(({ layer, head }) => exact.betas[layer]![head] !== 1)!;
    expect((await check(edited(exact, (_, target) => setRule(target, short.layer, [short.head, short.head + 1], 4)))).failures).toContain('density at 512');
    // A KV head keeps what the longest of its query heads keeps.
    expect((await check(edited(exact, (_, target) => setRule(target, short.layer, [short.head + 1], 4)))).failures).toEqual(expect.arrayContaining(['granularity', 'density at 512']));
  });

  test('a rule too many in a layer', async () => {
    const single = new Instance({ ...base, granularity: 'query-head', rulesPerLayer: 1 });
    const { failures } = await check(edited(right(single), (_, target) => setRule(target, 0, [0], other)));
    expect(failures).toContain('rules per layer');
  });

  test('a loss and a latency that are too high', async () => {
    const instance = instances['a longer length than was profiled']!;
    const local = instance.plan([[0, 0], [0, 0]], instance.limits.map(() => 0), 1);
    const loss = instance.layerPlans.reduce((sum, plans) => sum + plans.find(({ choice }) => choice.every((c) => c === 0))!.uses[1]!, 0);
    const bounded = edited(local, (certificate) => ((certificate['constraints'] as TestConstraint[])[1] = { kind: 'loss', length: 1024, bound: loss * 0.999 }));
    expect((await check(bounded)).failures).toContain('loss at 1024');
    const timed = instances['any number of rules, and latency']!;
    expect((await check(timed.plan([[4, 4], [4, 0]], timed.limits.map(() => 0), 1))).failures).toContain('latency at 512');
  });

  test('a latency table of another shape of model', async () => {
    const timed = edited(right(instances['any number of rules, and latency']!), (certificate) => ((certificate['constraints'] as TestConstraint[])[1] = { ...latency, table: { ...latency.table!, groupSize: 4 } }));
    expect((await check(timed)).failures).toEqual(expect.arrayContaining(['latency table at 512', 'instance']));
  });

  test('another profile', async () => {
    const bytes = Buffer.from(profile.bytes);
    bytes[bytes.length - 40]! ^= 1;
    const { result, failures } = await check(plan, scratchBytes(bytes));
    expect(failures).toEqual(['profile']);
    expect(result!.checks.find(({ name }) => name === 'value')).toMatchObject({ status: 'not checked', detail: 'the profile is not that of the certificate' });
    for (const wrong of [syntheticProfile({ ...shape, lengths: [256], seed: 3 }), syntheticProfile({ ...shape, layers: 1, lengths: profiled, seed: 3 })]) {
      const named = edited(plan, (certificate) => (certificate['profile'] = { sha256: wrong.sha256, lengths: profiled }));
      expect((await check(named, wrong.path)).failures).toEqual(['instance', 'profile']);
    }
  });
});

describe('a certificate of another form', () => {
  const plan = right(first);
  test.each<[string, string, (certificate: Record<string, unknown>) => void]>([
    ['another format', 'MOA7202: unknown format "x"', (certificate) => (certificate['format'] = 'x')],
    ['another version', 'MOA7202: unknown version 2', (certificate) => (certificate['version'] = 2)],
    ['a missing key', 'MOA7203: the key "value" is missing', (certificate) => delete certificate['value']],
    ['an unknown key', 'MOA7203: unknown key "note"', (certificate) => (certificate['note'] = 1)],
    ['a list as value', 'MOA7204: expected a number, found an array', (certificate) => (certificate['value'] = [])],
    ['four rules a layer', 'MOA7204: 4 is not from 0 to 3', (certificate) => (certificate['rulesPerLayer'] = 4)],
    ['no candidates', 'MOA7204: 0 items; there have to be 1 to 256', (certificate) => (certificate['candidates'] = [])],
    ['a candidate of three', 'MOA7204: 3 items; there have to be 2', (certificate) => (certificate['candidates'] = [[1, 2, 3]])],
    ['a beta of 2', 'MOA7204: 2 is not from 0 to 1', (certificate) => (certificate['candidates'] = [[1, 2]])],
    ['a candidate twice', 'MOA7205: this candidate is listed twice', (certificate) => (certificate['candidates'] = [...base.candidates, [0, 1]])],
    ['two multipliers', 'MOA7205: 2 multipliers for 1 constraints', (certificate) => (certificate['multipliers'] = [0, 0])],
    ['a length that has no loss', 'MOA7205: no loss is known at 384', (certificate) => (certificate['objective'] = [{ length: 384, weight: 1 }])],
    ['a length of no whole pages', 'MOA7204: 500 is not a multiple of 64', (certificate) => (certificate['objective'] = [{ length: 500, weight: 1 }])],
    ['a kind', 'MOA7204: "speed" is none of "density", "loss", "latency"', (certificate) => (certificate['constraints'] = [{ kind: 'speed', length: 512, bound: 1 }])],
    ['a table that begins late', 'MOA7206: the table begins with a span of 256 tokens at 512, and a candidate keeps 128', (certificate) => (certificate['constraints'] = [{ ...latency, table: { ...latency.table, lengths: [{ length: 512, spans: [256, 512], times: [1, 2] }] } }])],
    ['a table of another length', 'MOA7206: the table has 0 entries for the length 512', (certificate) => (certificate['constraints'] = [{ ...latency, table: { ...latency.table, lengths: [{ length: 1024, spans: [1024], times: [1] }] } }])],
    ['spans that fall', 'MOA7204: the spans do not rise', (certificate) => (certificate['constraints'] = [{ ...latency, table: { ...latency.table, lengths: [{ length: 512, spans: [256, 128, 512], times: [1, 2, 3] }] } }])],
  ])('%s', async (_, message, change) => {
    const { problems, result } = await check(edited(plan, change));
    expect(result).toBeUndefined();
    expect(problems.join('\n')).toContain(message);
  });

  test('any JSON in its place is accepted or reported', async () => {
    const keys = Object.keys(plan.certificate);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...keys), fc.jsonValue(), async (key, value) => {
        const { problems, result } = await check(edited(plan, (certificate) => (certificate[key] = value)), '');
        expect(result === undefined).toBe(problems.length > 0);
      }),
      { numRuns: 500 },
    );
  });
});

test('spans are those that the compiler computes', () => {
  const limits = { sink: 64, page: 64, minSpan: 192 };
  expect([[-1024, 1, 1024], [100, 0, 4096], [0, 1, 100], [300, 1, 512], [0, 0.1, 7040], [65, 0.3, 1000]].map(([alpha, beta, length]) => spanAt(ruleOf(alpha!, beta!), limits, length!))).toEqual([192, 192, 192, 512, 704, 384]);
  const rule = fc.tuple(fc.integer({ min: -(2 ** 24), max: 2 ** 24 }), fc.double({ min: 0, max: 1, noNaN: true }));
  fc.assert(fc.property(fc.oneof(rule, fc.tuple(fc.integer({ min: -4096, max: 4096 }), fc.constantFrom(0, 0.1, 0.25, 1 / 3, 0.7, 1))), fc.integer({ min: 1, max: 2 ** 27 }), ([alpha, beta], length) => {
    expect(spanAt(ruleOf(alpha, beta), limits, length)).toBe(spanOf(ruleOf(alpha, beta), limits, length, null));
  }));
});

test('the least over sets is that of every set', () => {
  const random = randomOf(11);
  for (let round = 0; round < 60; round += 1) {
    const [candidates, heads] = [1 + Math.floor(random() * 7), 1 + Math.floor(random() * 5)];
    const costs = Float64Array.from({ length: candidates * heads }, () => random() - 0.2);
    for (const most of [0, 1, 2, 3]) {
      let least = Infinity;
      for (let set = 1; set < 2 ** candidates; set += 1) {
        const members = Array.from({ length: candidates }, (_, c) => c).filter((c) => (set >> c) & 1);
        if (most !== 0 && members.length > most) continue;
        const sum = Array.from({ length: heads }, (_, head) => Math.min(...members.map((c) => costs[c * heads + head]!))).reduce((a, b) => a + b, 0);
        least = Math.min(least, sum);
      }
      expect(leastOfSets(costs, candidates, heads, most)).toBeCloseTo(least, 12);
    }
  }
});

test('the command', () => {
  const folder = scratchFolder();
  const write = (name: string, content: object): string => {
    writeFileSync(join(folder, name), JSON.stringify(content));
    return join(folder, name);
  };
  const good = right(first);
  const plan = write('plan.json', good);
  const wrong = write('wrong.json', edited(good, (certificate) => (certificate['instance'] = '0'.repeat(64))));
  const bare = write('bare.json', { alphas: [[0]], betas: [[1]] });
  const config = write('config.json', { num_hidden_layers: 3, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 });
  const fitting = write('fitting.json', { num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64 });
  const [all, json, partial, failed, without, misfit, missing, quiet] = runMany([
    ['check-plan', plan, '--profile', profile.path, '--model', fitting],
    ['check-plan', plan, '--profile', profile.path, '--json'],
    ['check-plan', plan],
    ['check-plan', wrong, '--profile', profile.path, '-q'],
    ['check-plan', bare],
    ['check-plan', plan, '--model', config],
    ['check-plan', plan, '--profile', join(folder, 'none.safetensors')],
    ['check-plan', plan, '--profile', profile.path, '-q'],
  ]);
  expect(all).toMatchObject({ status: 0, stderr: '' });
  expect(all!.stdout).toMatch(/^check +result\ninstance +ok +the hash is that of the problem\n/);
  expect(all!.stdout).toMatch(/\nvalue [\d.e-]+, lower bound [\d.e-]+ \(gap [\d.e-]+ %\), stated lower bound [\d.e-]+ \(gap 0 %\)\n10 checks ok, 0 failed, 1 not done\n$/);
  const value = JSON.parse(json!.stdout) as PlanCheck;
  expect({ status: json!.status, ok: value.ok, value: value.value }).toEqual({ status: 0, ok: true, value: good.certificate['value'] });
  expect(partial!.status).toBe(0);
  expect(partial!.stdout).toMatch(/\nprofile +not checked +no profile was given: pass --profile\n/);
  expect(failed!.status).toBe(1);
  expect(failed!.stdout).toMatch(/^check.*\ninstance +failed /);
  expect(without).toMatchObject({ status: 2, stdout: '' });
  expect(without!.stderr).toContain('error MOA7201: the plan has no certificate');
  expect(misfit!.status).toBe(2);
  expect(misfit!.stderr).toContain('MOA1201');
  expect(missing!.status).toBe(2);
  expect(missing!.stderr).toContain('none.safetensors:1:1: error MOA1001');
  expect(quiet).toEqual({ status: 0, stdout: '', stderr: '' });
});
