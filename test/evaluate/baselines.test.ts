/** Baselines spend no more KV slots than the plan, and nearly as many. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { baselineMask } from '../../src/evaluate/baselines.ts';
import { BASELINES } from '../../src/evaluate/kinds.ts';
import { densityOf, kvHeadsOf, planMask } from '../../src/evaluate/masks.ts';
import type { HeadModule } from '../../src/ir/nodes.ts';
import { readPlan } from '../../src/plan/readPlan.ts';
import { DiagnosticList } from '../../src/util/diagnostics.ts';

interface Drawn {
  readonly alphas: readonly (readonly number[])[];
  readonly betas: readonly (readonly number[])[];
  readonly windows: readonly (number | null)[];
  readonly length: number;
}

const [queryHeads, kvHeads] = [4, 2];

function moduleOf({ alphas, betas, windows }: Drawn): HeadModule {
  const model = { name: 'drawn', layers: alphas.length, queryHeads, kvHeads, headDim: 64, elementType: 'bf16', windows };
  const diagnostics = new DiagnosticList();
  const read = readPlan({ text: Buffer.from(JSON.stringify({ format: 'moa-plan', version: 1, sink: 64, model, alphas, betas })), file: 'plan.json' }, undefined, {}, diagnostics);
  if (read === undefined) throw new Error(JSON.stringify(diagnostics.toArray()));
  return read.module;
}

const drawn: fc.Arbitrary<Drawn> = fc.integer({ min: 1, max: 4 }).chain((layers) => {
  const perLayer = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value[]> => fc.array(value, { minLength: layers, maxLength: layers });
  const perHead = (value: fc.Arbitrary<number>): fc.Arbitrary<number[]> => fc.array(value, { minLength: queryHeads, maxLength: queryHeads });
  return fc.record({
    alphas: perLayer(perHead(fc.integer({ min: 0, max: 30 }).map((pages) => 64 * pages))),
    betas: perLayer(perHead(fc.constantFrom(0, 0, 0.25, 0.5, 1))),
    windows: perLayer(fc.constantFrom(null, null, null, 128, 512)),
    length: fc.integer({ min: 4, max: 64 }).map((pages) => 64 * pages),
  });
});

describe.each(BASELINES)('%s', (kind) => {
  test('keeps no more than the plan, and less than a page a head fewer where it can', () => {
    fc.assert(
      fc.property(drawn, (case_) => {
        const module = moduleOf(case_);
        const { length } = case_;
        const heads = kvHeadsOf(module, length);
        const mask = baselineMask(kind, module, length);
        const [plan, own] = [planMask(module, length), mask].map((each) => densityOf(module, each, length) * heads.length * length) as [number, number];
        expect(plan).toBeCloseTo(heads.reduce((sum, { kept }) => sum + kept, 0), 4);
        expect(own).toBeLessThanOrEqual(plan + 1e-6);
        // Heads that have all that the model attends can take no more.
        const open = heads.filter(({ layer, head, most }) => mask.windows[layer]![head * 2]! + (case_.windows[layer] === null ? mask.sink : 0) < most).length;
        expect(plan - own).toBeLessThan(Math.max(1, 64 * open) + 1e-6);
        for (const [layer, windows] of mask.windows.entries()) {
          expect(windows).toHaveLength(queryHeads);
          for (const window of windows) expect(window).toBeGreaterThanOrEqual(1);
          expect([windows[0], windows[2]]).toEqual([windows[1], windows[3]]);
          const modelWindow = case_.windows[layer]!;
          if (modelWindow !== null) for (const window of windows) expect(window).toBeLessThanOrEqual(modelWindow);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test('whole heads are those that keep most in the plan', () => {
  const module = moduleOf({ alphas: [[128, 128, 0, 0], [128, 128, 256, 256]], betas: [[0, 0, 1, 1], [0, 0, 0, 0]], windows: [null, null], length: 1024 });
  const { windows } = baselineMask('duo-attention', module, 1024);
  expect(windows).toEqual([[64, 64, 960, 960], [64, 64, 64, 64]]);
});

test('StreamingLLM has four first tokens', () => {
  const module = moduleOf({ alphas: [[512, 512, 256, 256]], betas: [[0, 0, 0, 0]], windows: [null], length: 2048 });
  expect(baselineMask('streaming-llm', module, 2048)).toEqual({ sink: 4, windows: [[380, 380, 380, 380]] });
  expect(baselineMask('uniform', module, 2048)).toEqual({ sink: 64, windows: [[320, 320, 320, 320]] });
});
