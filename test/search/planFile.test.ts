import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { spanOf } from '../../src/ir/affine.ts';
import { parsePlan } from '../../src/plan/parsePlan.ts';
import { ruleOf } from '../../src/plan/spanRule.ts';
import { checkPlan } from '../../src/search/check/checkPlan.ts';
import { readCertificate } from '../../src/search/check/readCertificate.ts';
import { planText, rulesOf } from '../../src/search/planFile.ts';
import { bestPlan } from '../../src/search/searchPlans.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';
import { facts, found, instanceFor, requestFor } from './outcome.ts';
import { said } from './support.ts';

describe.each(['kv-head', 'query-head'] as const)('by %s', (granularity) => {
  test('the file is read back as the rules that were chosen, and its certificate holds', async () => {
    const { instance, request, plans } = await found({ granularity, rulesPerLayer: 2 });
    const point = plans[0]!;
    const text = planText(instance, request, point, facts, { note: ['é', 1e-300] });
    const diagnostics = new DiagnosticList();
    const plan = parsePlan(text, 'plan.json', diagnostics)!;
    expect(said(diagnostics)).toEqual([]);
    expect(plan).toMatchObject({ layers: 2, queryHeads: 4, limits: request.limits, model: { shape: { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 }, name: 'synthetic', elementType: 'bf16' } });
    expect(plan.evidence).toEqual({ note: ['é', 1e-300], tool: expect.stringMatching(/^moa-compile \d+\.\d+\.\d+$/) });
    const rules = rulesOf(instance, point);
    expect(plan.rules).toEqual(rules);
    // Heads of a KV head have one rule; heads of layers are their own.
    const group = granularity === 'kv-head' ? 2 : 1;
    rules.forEach((layer, at) => layer.forEach((rule, head) => expect(rule).toBe(instance.candidates[point.assignment[at * (4 / group) + Math.floor(head / group)]!]!)));
    const certificate = readCertificate(plan, diagnostics)!;
    expect(said(diagnostics)).toEqual([]);
    expect(certificate).toMatchObject({ granularity, rulesPerLayer: 2, profile: { sha256: facts.sha256, lengths: facts.lengths }, value: point.solved.incumbent.value });
    expect(certificate.multipliers).toHaveLength(request.constraints.length);
    expect(certificate.lowerBound).toBeLessThanOrEqual(certificate.value);
    expect(checkPlan(plan, certificate, undefined).ok).toBe(true);
    expect(planText(instance, request, point, facts, { note: ['é', 1e-300] })).toBe(text);
  });
});

test('lengths without weight are no part of the objective, a better bound is told as exact', async () => {
  const { instance, request, plans } = await found({ weights: [0, 3] });
  const point = plans[0]!;
  const text = (better: number): Record<string, unknown> => {
    const solved = { ...point.solved, lagrangianBound: 0.5 * point.solved.incumbent.value, bound: better * point.solved.incumbent.value };
    return (JSON.parse(planText(instance, request, { ...point, solved }, facts, {})) as { certificate: Record<string, unknown> }).certificate;
  };
  expect(text(0.5)).toMatchObject({ objective: [{ length: 512, weight: 3 }], lowerBound: 0.5 * point.solved.incumbent.value });
  expect(text(0.5)).not.toHaveProperty('exact');
  expect(text(0.75)['exact']).toEqual({ lowerBound: 0.75 * point.solved.incumbent.value, method: 'HiGHS, branch and bound on what reduced costs leave' });
});

test('a model without name and element type', async () => {
  const { instance, request, plans } = await found({});
  const { name: _name, elementType: _type, ...model } = facts.model;
  const diagnostics = new DiagnosticList();
  const plan = parsePlan(planText(instance, request, plans[0]!, { ...facts, model }, {}), 'plan.json', diagnostics)!;
  const certificate = readCertificate(plan, diagnostics)!;
  expect(said(diagnostics)).toEqual([]);
  expect(plan.model).toMatchObject({ shape: { layers: 2, queryHeads: 4, kvHeads: 2, headDim: 64 } });
  expect(Object.keys(plan.model!).filter((key) => key === 'name' || key === 'elementType')).toEqual([]);
  expect(checkPlan(plan, certificate, undefined).ok).toBe(true);
});

test('rules of any grid have the same spans after they were written and read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 24 }), fc.integer({ min: 1, max: 6 }), fc.double({ min: 0.35, max: 1, noNaN: true }), async (betas, pages, bound) => {
      const request = { ...requestFor({ bound }), alphaStep: 64 * pages, betas };
      const diagnostics = new DiagnosticList();
      const instance = instanceFor(request, diagnostics);
      if (instance === undefined) return;
      const point = await bestPlan(instance, request).catch(() => undefined);
      if (point === undefined) return;
      const plan = parsePlan(planText(instance, request, point, facts, {}), 'plan.json', diagnostics)!;
      expect(said(diagnostics)).toEqual([]);
      const spans = (rules: readonly (readonly Parameters<typeof spanOf>[0][])[]): number[] => rules.flat().flatMap((rule) => [256, 512, 999, 4096, 131072].map((length) => spanOf(rule, request.limits, length, null)));
      expect(spans(plan.rules)).toEqual(spans(rulesOf(instance, point)));
      expect(readCertificate(plan, diagnostics)!.candidates.map(({ alpha, beta }) => ruleOf(alpha, beta))).toEqual(instance.candidates);
    }),
    { numRuns: 25 },
  );
});

test('how a model makes scores goes into its plan, and the certificate holds', async () => {
  const { instance, request, plans } = await found({});
  const scores = { softCap: 50, learnedSinks: true, scale: 0.0625 };
  const text = planText(instance, request, plans[0]!, { ...facts, model: { ...facts.model, ...scores } }, {});
  expect((JSON.parse(text) as { model: object }).model).toMatchObject(scores);
  const diagnostics = new DiagnosticList();
  const plan = parsePlan(text, 'plan.json', diagnostics)!;
  const certificate = readCertificate(plan, diagnostics)!;
  expect(said(diagnostics)).toEqual([]);
  expect(checkPlan(plan, certificate, undefined).ok).toBe(true);
});
