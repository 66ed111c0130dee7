import { describe, expect, test } from 'vitest';
import { inspectPlan } from '../../src/inspect.ts';
import { printRule, spanOf } from '../../src/ir/affine.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { densityAt, describeConstraint, figuresOf, makeReport, type Found } from '../../src/search/makeReport.ts';
import { rulesOf } from '../../src/search/planFile.ts';
import { renderReport } from '../../src/search/report/renderReport.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { found, profile } from './outcome.ts';

const validation = { length: 1024, samples: 5, answerTokens: 50, dense: { loss: 0.25, accuracy: 1 }, plans: [{ loss: 0.5, accuracy: 0.75 }, { loss: 0.375, accuracy: 0.875 }] };

/** Two plans: the one that was searched for, and one that is dense. The second is chosen. */
async function outcome(granularity: 'kv-head' | 'query-head'): Promise<Found> {
  const one = await found({ granularity, extend: [1024], bound: 0.55 });
  const first = one.plans[0]!;
  const dense = { ...first, assignment: first.assignment.map(() => one.instance.candidates.length - 1), losses: [0, 0, 0] };
  return { ...one, plans: [dense, first], chosen: 1, validation };
}

describe.each(['kv-head', 'query-head'] as const)('by %s', (granularity) => {
  test('what was found is what is reported', async () => {
    const given = await outcome(granularity);
    const report = await makeReport(given);
    const { instance, request, plans } = given;
    expect(report).toMatchObject({
      model: { name: 'synthetic', layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 },
      lengths: [{ length: 256, profiled: true, samples: 4 }, { length: 512, profiled: true, samples: 5 }, { length: 1024, profiled: false }],
      granularity,
      rulesPerLayer: 2,
      candidates: instance.candidates.length,
      constraints: ['density at 256 <= 55.0 %', 'density at 512 <= 55.0 %', 'density at 1024 <= 55.0 %'],
      chosen: '1',
      reason: 'it is the only one',
      validation: { length: 1024, samples: 5, dense: { loss: 0.25, accuracy: 1 } },
      seconds: [{ stage: 'solve', seconds: 1.5 }],
      version: expect.stringMatching(/^\d/),
    });
    expect(report.lengths[2]).not.toHaveProperty('samples');
    expect(report.plans).toEqual(plans.map(({ losses, solved }, at) => ({ id: String(at), losses, densities: [256, 512, 1024].map((length) => densityAt(instance, plans[at]!, length)), gap: solved.gap, validation: validation.plans[at] })));
    expect(report.plans[0]!.densities).toEqual([1, 1, 1]);
    const rules = rulesOf(instance, plans[1]!);
    expect(report.plan.spanLength).toBe(1024);
    expect(report.plan.spans).toEqual(rules.map((layer) => layer.map((rule) => spanOf(rule, request.limits, 1024, null))));
    expect(report.plan.rules.map(({ heads }) => heads).reduce((a, b) => a + b)).toBe(8);
    for (const { rule, heads } of report.plan.rules) expect(rules.flat().filter((known) => printRule(known) === rule)).toHaveLength(heads);
    expect(report.plan.rules.map(({ heads }) => heads)).toEqual(report.plan.rules.map(({ heads }) => heads).sort((a, b) => b - a));
    expect(await renderReport(report)).toContain('synthetic');
  });

  test('densities are those of inspect', async () => {
    const given = await outcome(granularity);
    const { plan } = await makeReport(given);
    const read = readPlan({ text: given.plan, file: 'plan.json' }, undefined, {}, new DiagnosticList())!;
    const ladder = [256, 512, 1024, 2048, 4096];
    expect(plan.curve.map(({ length }) => length)).toEqual(ladder);
    const figures = inspectPlan(read.module, ladder).lengths;
    expect(figuresOf(given.plan, ladder)).toEqual(figures);
    plan.curve.forEach((at, n) => {
      expect(at).toMatchObject({ cacheDensity: figures[n]!.cacheDensity, computeDensity: figures[n]!.computeDensity });
      expect(at.loss).toBe(given.plans[1]!.losses[n]);
      expect(densityAt(given.instance, given.plans[1]!, at.length)).toBeCloseTo(granularity === 'kv-head' ? figures[n]!.cacheDensity : figures[n]!.planDensity, 12);
      if (n < 3) expect(densityAt(given.instance, given.plans[1]!, at.length)).toBeLessThanOrEqual(0.55);
    });
  });
});

test('maps are of the heads that reach farthest and least far, each once', async () => {
  const { mostGlobal, mostLocal } = await makeReport(await outcome('kv-head'));
  const key = ({ layer, queryHead }: { layer: number; queryHead: number }): string => `${layer} ${queryHead}`;
  expect(new Set([...mostGlobal, ...mostLocal].map(key)).size).toBe(8);
  // The mean distance of influence in pages, from the blocks themselves, the sink's left out.
  const reaches = new Map<string, number>();
  for (const { layer, queryHead, influence } of [...mostGlobal, ...mostLocal]) {
    expect(influence).toHaveLength(8);
    const expected = await profile.influenceMap(1, layer, queryHead);
    expect(influence.flat()).toEqual([...expected]);
    const tail = profile.tail(1, layer, queryHead, 1);
    reaches.set(key({ layer, queryHead }), tail.subarray(1).reduce((a, b) => a + b, 0) / tail[0]!);
    // Blocks do not tell near from far, so the mean of their distances is known to a page.
    const all = influence.flatMap((row, query) => row.map((value, page) => ({ value: page === 0 ? 0 : value, distance: query - page })));
    const mean = all.reduce((sum, { value, distance }) => sum + value * distance, 0) / all.reduce((sum, { value }) => sum + value, 0);
    expect(Math.abs(reaches.get(key({ layer, queryHead }))! - mean)).toBeLessThan(1);
  }
  const order = [...mostGlobal, ...[...mostLocal].reverse()].map((head) => reaches.get(key(head))!);
  expect(order).toEqual([...order].sort((a, b) => b - a));
});

test('without a validation there is none, and constraints of every kind have words', async () => {
  const { validation: _, ...without } = await outcome('kv-head');
  const report = await makeReport(without);
  expect(report).not.toHaveProperty('validation');
  for (const plan of report.plans) expect(plan).not.toHaveProperty('validation');
  const table = { device: 'x', phase: 'decode', headDim: 64, groupSize: 2, lengths: [], source: null };
  expect([describeConstraint({ kind: 'density', length: 512, bound: 0.255 }), describeConstraint({ kind: 'latency', length: 512, bound: 0.5, table }), describeConstraint({ kind: 'loss', length: 512, bound: 0.012345 })]).toEqual([
    'density at 512 <= 25.5 %', 'latency at 512 <= 50.0 %', 'loss at 512 <= 0.01235',
  ]);
});
