/** Searches for models whose layers have windows of their own: no key that cannot be attended is paid for, or missed. */
import { describe, expect, test } from 'vitest';
import { spanOf } from '../../src/ir/affine.ts';
import { ruleOf } from '../../src/plan/spanRule.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { checkPlan } from '../../src/search/check/checkPlan.ts';
import { readHeadLosses } from '../../src/search/check/headLosses.ts';
import { readCertificate } from '../../src/search/check/readCertificate.ts';
import { keptAt } from '../../src/search/check/spanAt.ts';
import { candidateGrid } from '../../src/search/candidates.ts';
import { influenceOf, leastUse, makeInstance, resourceOf, type ModelWindows } from '../../src/search/instance.ts';
import { lossFunction } from '../../src/search/losses.ts';
import { densityAt, figuresOf } from '../../src/search/makeReport.ts';
import { planText, rulesOf } from '../../src/search/planFile.ts';
import { readProfile } from '../../src/search/profile/readProfile.ts';
import type { SearchRequest } from '../../src/search/request.ts';
import { bestPlan, instanceOf } from '../../src/search/searchPlans.ts';
import { validationRequest } from '../../src/search/validation.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { said, syntheticProfile, writeSafetensors } from './support.ts';

const shape = { layers: 2, queryHeads: 4, kvHeads: 2 };
const lengths = [512, 1024];
const limits = { sink: 64, page: 64, minSpan: 128 };

/** The outcome of a search with a bound on the density at every length, and the profile that it was made from. */
async function outcome(windows: ModelWindows, bound: number, granularity: SearchRequest['granularity'] = 'kv-head') {
  const made = syntheticProfile({ ...shape, lengths, seed: 5, windows });
  const diagnostics = new DiagnosticList();
  const profile = (await readProfile(made.path, diagnostics))!;
  expect(said(diagnostics)).toEqual([]);
  const request: SearchRequest = {
    granularity,
    rulesPerLayer: 2,
    limits,
    objectives: lengths.map((length) => ({ length, weight: 1 })),
    constraints: lengths.map((length) => ({ kind: 'density', length, bound })),
    gap: 1e-4,
    exact: true,
  };
  const instance = instanceOf(influenceOf(profile, 1), request, diagnostics)!;
  const point = await bestPlan(instance, request);
  const text = planText(instance, request, point, { model: profile.model, sha256: made.sha256, lengths }, {});
  return { made, profile, request, instance, point, text, plan: parsePlan(text, 'plan.json', diagnostics)! };
}

describe.each([
  ['all layers', [128, 128], 0.5],
  ['one layer', [128, null], 0.4],
  ['windows that differ', [256, 512], 0.3],
  ['a window that is longer than the lengths', [4096, null], 0.5],
] as const)('windows in %s', (_, windows, bound) => {
  test('the plan has them, keeps no more, and its certificate holds', async () => {
    const { made, point, instance, text, plan } = await outcome(windows, bound);
    expect(plan.model!.windows).toEqual(windows);
    const diagnostics = new DiagnosticList();
    const certificate = readCertificate(plan, diagnostics)!;
    const expected = { ...certificate.profile, layers: 2, queryHeads: 4, sinkPages: 1, windows: plan.model!.windows };
    const losses = await readHeadLosses(made.path, expected, diagnostics);
    const checked = checkPlan(plan, certificate, losses);
    expect(said(diagnostics)).toEqual([]);
    expect(checked.checks.filter(({ status }) => status === 'failed')).toEqual([]);
    for (const length of lengths) {
      // What is paid for is what is kept, and what `inspect` says.
      const kept = rulesOf(instance, point).flatMap((layer, at) => layer.map((rule) => Math.min(spanOf(rule, limits, length, windows[at]!), length) / length));
      expect(densityAt(instance, point, length)).toBeCloseTo(kept.reduce((sum, one) => sum + one, 0) / kept.length, 12);
      expect(figuresOf(text, [length])[0]!.cacheDensity).toBeCloseTo(densityAt(instance, point, length), 12);
      expect(densityAt(instance, point, length)).toBeLessThanOrEqual(bound);
      const { figures } = checked.checks.find(({ name }) => name === `density at ${length}`)!;
      expect(figures!['value']).toBeCloseTo(densityAt(instance, point, length), 12);
    }
  });

  test('the plan of another model with other windows is not believed', async () => {
    const { made, plan } = await outcome(windows, bound);
    const diagnostics = new DiagnosticList();
    const certificate = readCertificate(plan, diagnostics)!;
    const moved = { ...plan, model: { ...plan.model!, windows: [64, 64] } };
    const losses = await readHeadLosses(made.path, { ...certificate.profile, layers: 2, queryHeads: 4, sinkPages: 1, windows: [64, 64] }, diagnostics);
    const failures = checkPlan(moved, certificate, losses).checks.filter(({ status }) => status === 'failed');
    expect(failures.map(({ name }) => name)).toEqual(['instance', 'profile']);
  });
});

test('where all layers have a window of 128, a plan has no longer span, loses nothing, and costs an eighth of 1024', async () => {
  const { instance, point, plan } = await outcome([128, 128], 0.5);
  expect(plan.rules.flat().map((rule) => lengths.map((length) => spanOf(rule, limits, length, null)))).toEqual(Array.from({ length: 8 }, () => [128, 128]));
  expect([point.losses, densityAt(instance, point, 1024)]).toEqual([[0, 0], 0.125]);
});

test('the budget that a window frees goes to other layers', async () => {
  // Half of 1024: 128 in one layer leave 896 in the other.
  const { instance, point } = await outcome([128, null], 0.5);
  const spans = rulesOf(instance, point).map((layer) => layer.map((rule) => spanOf(rule, limits, 1024, null)));
  expect(spans[0]).toEqual([128, 128, 128, 128]);
  expect(spans[1]!.reduce((sum, one) => sum + one, 0) / 4).toBeGreaterThan(640);
});

test('candidates end at the longest window where all layers have one, and each window has its rule', () => {
  const grid = { profiled: lengths, lengths, limits, alphaStep: 128 };
  const spans = (windows: ModelWindows): number[] => candidateGrid({ ...grid, windows }).map((rule) => spanOf(rule, limits, 1024, null));
  expect(spans([128, 128])).toEqual([128]);
  expect(Math.max(...spans([192, 320]))).toBeLessThanOrEqual(384);
  expect(spans([192, null])).toContain(192);
  expect(spans([70, null])).toEqual(spans([null, null]));
  expect(candidateGrid({ ...grid, windows: [null, null] })).toEqual(candidateGrid(grid));
});

test('a rule that grows past the window costs and loses what is left of it', async () => {
  const made = syntheticProfile({ ...shape, lengths, seed: 5, windows: [320, null] });
  const profile = (await readProfile(made.path, new DiagnosticList()))!;
  const rules = [ruleOf(128, 0), ruleOf(0, 0.5), ruleOf(320, 0), ruleOf(0, 1)];
  const instance = makeInstance(influenceOf(profile, 1), 'kv-head', limits, rules, lengths);
  const costs = (length: number): number[] => [...resourceOf(instance, { kind: 'density', length, bound: 1 }).cost].map((cost) => cost * length);
  // Layers x candidates x KV heads.
  expect(costs(512)).toEqual([128, 256, 320, 320, 128, 256, 320, 512].flatMap((slots) => [slots, slots]));
  expect(costs(1024)).toEqual([128, 320, 320, 320, 128, 512, 320, 1024].flatMap((slots) => [slots, slots]));
  const { cost } = resourceOf(instance, { kind: 'density', length: 1024, bound: 1 });
  expect(leastUse(instance, cost)).toBe(0.5);
  expect(leastUse(instance, Float64Array.from(cost, (one, at) => (at % 2 === 0 ? 1 : one)))).toBe(2.25);
  // Candidates that keep the same at both lengths are the shortest of them.
  expect(instance.shortest.map((places) => [...places])).toEqual([[0, 1, 2, 2], [0, 1, 2, 3]]);
  const loss = instance.losses.get(1024)!;
  expect([...loss.subarray(2, 8)]).toEqual([0, 0, 0, 0, 0, 0]);
  expect(loss[0]).toBeGreaterThan(0);
  // The check has code of its own for the same.
  const [alike] = [{ alpha: 0, numerator: 1, denominator: 2 }];
  expect([null, 320, 512, 513, 4096].map((own) => keptAt(alike, limits, 1024, own))).toEqual([512, 320, 512, 512, 512]);
});

test('losses within a window: none from its end on, and no longer distances at longer lengths than were profiled', () => {
  const tail = Float64Array.of(8, 4, 2, 1, 0, 0, 0, 0, 0);
  const head = { lengths: [512], tails: [tail], window: 200 };
  for (const length of [512, 4096]) {
    const lossOf = lossFunction(head, length);
    expect([0, 1, 2, 3, 200 / 64, 4, 8].map(lossOf)).toEqual([8, 4, 2, 1, 0, 0, 0]);
  }
  // A window that no profile fills grows with the length, up to its end.
  const wide = lossFunction({ ...head, window: 640 }, 1024);
  expect([2, 4, 9, 10, 12].map(wide)).toEqual([4, 2, 0, 0, 0]);
});

test('the request of a validation has windows without a sink where the model has its own', async () => {
  const { instance, point } = await outcome([128, null], 0.4);
  const asked = JSON.parse(validationRequest(instance, [point], 1024)) as { modelWindows: unknown; plans: { windows: number[][] }[] };
  const rules = rulesOf(instance, point);
  expect(asked.modelWindows).toEqual([128, null]);
  expect(asked.plans[0]!.windows).toEqual([[128, 128, 128, 128], rules[1]!.map((rule) => spanOf(rule, limits, 1024, null) - 64)]);
});

test('influence outside of a window is an error, up to its edge it is not', async () => {
  const made = syntheticProfile({ ...shape, lengths, seed: 5 });
  const description = JSON.parse(made.metadata['profile']!) as { model: object };
  const read = async (windows: unknown): Promise<string[]> => {
    const diagnostics = new DiagnosticList();
    const metadata = { ...made.metadata, profile: JSON.stringify({ ...description, model: { ...description.model, windows } }) };
    await readProfile(writeSafetensors(made.tensors, metadata), diagnostics);
    return said(diagnostics);
  };
  expect(await read([1024, null])).toEqual([]);
  const problems = await read([null, 960]);
  expect(problems).toHaveLength(4);
  expect(problems[0]).toMatch(/^MOA7111: influence\.1024: layer 1, query head 0: .* at block \(15, 0\), far part, outside the model's own window of 960 tokens$/);
  // Pairs of whole pages of distance or more: a window within a page leaves some in it.
  expect(await read([null, 961])).toEqual([]);
  expect(await read([128])).toEqual([expect.stringMatching(/^MOA7106: 1 items; there have to be 2/)]);
  expect(await read([128, 0.5])).toEqual([expect.stringMatching(/^MOA7106: expected an integer/)]);
});
