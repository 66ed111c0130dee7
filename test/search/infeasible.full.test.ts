import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { explainInfeasible } from '../../src/search/infeasible.ts';
import { keptSlots, type Instance } from '../../src/search/instance.ts';
import type { LatencyTable } from '../../src/search/latencyTable.ts';
import type { Constraint, SearchRequest } from '../../src/search/request.ts';
import { bestPlan } from '../../src/search/searchPlans.ts';
import { diagnosticsOf } from '../toolchain/helpers.ts';
import { instanceFor, requestFor, type Asked } from './outcome.ts';

const density = (length: number, bound: number): Constraint => ({ kind: 'density', length, bound });
/** A grid whose short spans at one length are long ones at the other. */
const crossing = { alphaStep: 192, betas: 3 };

function given(asked: Asked, grid: object = {}): { request: SearchRequest; instance: Instance } {
  const request = { ...requestFor(asked), ...grid };
  return { request, instance: instanceFor(request)! };
}

/** `kind bound at length` of a text, as constraints. */
const namedIn = (text: string): Constraint[] => [...text.matchAll(/density ([\d.]+) at (\d+)/g)].map(([, bound, length]) => density(Number(length), Number(bound)));

describe('a bound that does not hold alone', () => {
  test('is named with the least there is, and the others are not', async () => {
    const { request, instance } = given({ constraints: [density(256, 0.9), density(512, 0.2), density(1536, 0.05)] });
    const { diagnostics, exitCode } = await diagnosticsOf(() => bestPlan(instance, request));
    expect(exitCode).toBe(2);
    expect(diagnostics).toEqual([{ code: 'MOA7301', severity: 'error', message: 'density 0.2 at 512: the least that any candidate keeps there is 0.25; density 0.05 at 1536: the least that any candidate keeps there is 0.0834', help: expect.stringMatching(/loosen the bound/) }]);
  });

  test('the least is held, and a little less is not, whatever the length', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 4, max: 400 }).map((pages) => 64 * pages), async (length) => {
        const { request, instance } = given({ constraints: [density(length, 0)], rulesPerLayer: 1 });
        const least = Math.min(...instance.candidates.map((rule) => keptSlots(rule, request.limits, length, null))) / length;
        const { message } = await explainInfeasible(instance, request, true);
        const named = Number(/ is ([\d.]+)$/.exec(message)![1]);
        expect(named).toBeGreaterThanOrEqual(least);
        expect(named).toBeLessThan(least + 1.0001e-4);
        for (const bound of [least, named]) await expect(bestPlan(instance, { ...request, constraints: [density(length, bound)] })).resolves.toBeDefined();
        await expect(bestPlan(instance, { ...request, constraints: [density(length, least - 1e-6)] })).rejects.toThrow();
      }),
      { numRuns: 20 },
    );
  });

  test('a latency is a part of the time of dense heads, be its bound 0 or not', async () => {
    const table: LatencyTable = { device: 'a GPU', phase: 'decode', headDim: 64, groupSize: 2, lengths: [{ length: 512, spans: [128, 512], times: [7, 20] }], source: null };
    for (const bound of [0, 0.1, 0.3499]) {
      const { request, instance } = given({ constraints: [{ kind: 'latency', length: 512, bound, table }] });
      const { diagnostics } = await diagnosticsOf(() => bestPlan(instance, request));
      expect(diagnostics.map(({ message }) => message)).toEqual([`latency ${bound} at 512: the least that any candidate keeps there is 0.35`]);
    }
  });
});

describe('bounds that hold alone and not together', () => {
  test.each([0, 1] as const)('what is named as nearest holds, and a hundredth less does not; %i rules', async (rulesPerLayer) => {
    const { request, instance } = given({ constraints: [density(256, 0.55), density(512, 0.45)], rulesPerLayer }, crossing);
    for (const constraint of request.constraints) await expect(bestPlan(instance, { ...request, constraints: [constraint] })).resolves.toBeDefined();
    const { diagnostics } = await diagnosticsOf(() => bestPlan(instance, request));
    const [{ code, message, help }] = diagnostics as unknown as [{ code: string; message: string; help: string }];
    expect({ code, message }).toEqual({ code: 'MOA7301', message: 'each bound can be held alone, but not all together: density 0.55 at 256, density 0.45 at 512' });
    const scale = Number(/^all bounds together times (1\.\d{3}) can be held: /.exec(help)![1]);
    const constraints = namedIn(help);
    constraints.forEach(({ bound }, n) => expect(bound).toBeCloseTo(request.constraints[n]!.bound * scale, 3));
    await expect(bestPlan(instance, { ...request, constraints })).resolves.toBeDefined();
    await expect(bestPlan(instance, { ...request, constraints: constraints.map((constraint) => ({ ...constraint, bound: constraint.bound - 0.01 })) })).rejects.toThrow();
  });

  test('bounds that are named are never above 1', async () => {
    const { request, instance } = given({ constraints: [density(256, 0.95), density(512, 0.4), density(1024, 0.45)], extend: [1024] }, { alphaStep: 384, betas: 2 });
    const { help } = await explainInfeasible(instance, request, true);
    const named = namedIn(help!);
    expect(named.length === 3 || help!.startsWith('loosen')).toBe(true);
    for (const { bound } of named) expect(bound).toBeLessThanOrEqual(1);
  });

  test('when it was not proven that there is no plan, that is another code', async () => {
    const { request, instance } = given({ constraints: [density(256, 0.55), density(512, 0.45)] }, crossing);
    expect(await explainInfeasible(instance, request, false)).toMatchObject({ code: 'MOA7302', message: 'no plan was found that holds density 0.55 at 256, density 0.45 at 512; whether there is one was not proven' });
  });
});
