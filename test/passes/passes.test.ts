/** What each pass promises of its own output. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { evaluate, spanOf } from '../../src/ir/affine.ts';
import { usualAttention } from '../../src/ir/attention.ts';
import type { GroupModule, HeadModule, KernelModule, LaidOutModule, RingModule } from '../../src/ir/nodes.ts';
import { isDense, type Rule, type SpanLimits } from '../../src/ir/rule.ts';
import { canonicalizeRules } from '../../src/passes/canonicalizeRules.ts';
import { dedupeKernels } from '../../src/passes/dedupeKernels.ts';
import { pipeline } from '../../src/passes/pipeline.ts';
import { runPasses } from '../../src/passes/runPasses.ts';
import { arbitraryBound, arbitraryContext, arbitraryLimits, arbitraryModule, arbitraryRule } from './arbitraryModule.ts';

const context = fc.sample(arbitraryContext, { numRuns: 1, seed: 1 })[0]!;
const upTo = <To>(module: HeadModule, pass: string): To => runPasses(module, pipeline, context, undefined, pass) as To;
const property = <Values extends [unknown, ...unknown[]]>(check: fc.IPropertyWithHooks<Values>, numRuns = 100): void => fc.assert(check, { numRuns });
const one = (rule: Rule, limits: SpanLimits, modelWindow: number | null = null): HeadModule => ({
  kind: 'headModule',
  shape: { layers: 1, queryHeads: 1, kvHeads: 1, headDim: 64 },
  attention: usualAttention({ headDim: 64 }),
  limits,
  layers: [{ kind: 'headLayer', modelWindow, heads: [{ kind: 'head', rule, origin: { path: 'alphas[0][0]' } }] }],
});

test('canonicalizeRules keeps the span of every head at every N, and where heads came from', () => {
  property(
    fc.property(arbitraryModule, fc.array(arbitraryBound, { minLength: 20, maxLength: 20 }), (module, bounds) => {
      const after = canonicalizeRules(module);
      module.layers.forEach(({ heads, modelWindow }, layer) =>
        heads.forEach(({ rule, origin }, index) => {
          const now = after.layers[layer]!.heads[index]!;
          expect(now.origin).toBe(origin);
          expect(bounds.filter((N) => spanOf(now.rule, module.limits, N, modelWindow) !== spanOf(rule, module.limits, N, modelWindow))).toEqual([]);
        }),
      );
    }),
  );
});

test('canonicalizeRules keeps the span of small rules at every N up to 2000', () => {
  for (const sample of fc.sample(arbitraryLimits, { numRuns: 6, seed: 7 })) {
    for (const rule of fc.sample(arbitraryRule, { numRuns: 30, seed: 7 })) {
      const canonical = canonicalizeRules(one(rule, sample)).layers[0]!.heads[0]!.rule;
      for (let N = 1; N <= 2000; N += 1) if (spanOf(canonical, sample, N, null) !== spanOf(rule, sample, N, null)) expect.fail(`${JSON.stringify({ rule, canonical, sample, N })}`);
    }
  }
});

test('canonicalizeRules makes rules that agree for every N one object, and others not', () => {
  // The rules below that agree at all of these agree for every N: 129 bounds in a row take a slope of 1/2 over a whole page.
  const far = [1, 63, 64, 65, 127, 128, 129, 1000, 4095, 8191, 2 ** 24, 2 ** 25, ...Array.from({ length: 129 }, (_, n) => 2 ** 34 + n)];
  const small = fc.record({ alpha: fc.integer({ min: -300, max: 300 }), slope: fc.constantFrom([0, 1], [1, 1], [1, 2], [7, 8]) });
  property(
    fc.property(small, small, arbitraryLimits, (a, b, limits) => {
      const [left, right] = [a, b].map(({ alpha, slope }): Rule => ({ kind: 'rule', alpha, numerator: slope[0]!, denominator: slope[1]! })) as [Rule, Rule];
      const module: HeadModule = { ...one(left, limits), shape: { layers: 2, queryHeads: 1, kvHeads: 1, headDim: 64 }, layers: [left, right].map((rule) => one(rule, limits).layers[0]!) };
      const [first, second] = canonicalizeRules(module).layers.map(({ heads }) => heads[0]!.rule);
      const agree = far.every((N) => spanOf(left, limits, N, null) === spanOf(right, limits, N, null));
      expect(first === second).toBe(agree);
    }),
    2000,
  );
});

test('canonicalizeRules: in a layer with a window of the model, exactly the rules that leave all of it are its constant', () => {
  const small = fc.record({ alpha: fc.integer({ min: -300, max: 300 }), slope: fc.constantFrom([0, 1], [1, 1], [1, 2], [7, 8], [1, 16]) });
  const dense: Rule = { kind: 'rule', alpha: 0, numerator: 1, denominator: 1 };
  property(
    fc.property(small, arbitraryLimits, fc.integer({ min: 1, max: 8 }), ({ alpha, slope }, limits, pages) => {
      const modelWindow = 64 * pages;
      const rule: Rule = { kind: 'rule', alpha, numerator: slope[0]!, denominator: slope[1]! };
      const canonical = canonicalizeRules(one(rule, limits, modelWindow)).layers[0]!.heads[0]!.rule;
      const bounds = Array.from({ length: modelWindow + 200 }, (_, n) => n + 1);
      const leavesAll = bounds.every((N) => spanOf(rule, limits, N, modelWindow) === spanOf(dense, limits, N, modelWindow));
      expect(canonical.numerator === 0 && canonical.alpha === modelWindow).toBe(leavesAll);
    }),
    2000,
  );
});

test('canonicalizeRules returns a canonical module as it came', () => {
  property(
    fc.property(arbitraryModule, (module) => {
      const once = canonicalizeRules(module);
      expect(canonicalizeRules(once)).toBe(once);
    }),
  );
});

test('isDense: exactly the rules that cover every sequence', () => {
  property(
    fc.property(arbitraryRule, arbitraryLimits, (rule, limits) => {
      fc.pre(rule.denominator <= 16);
      const covers = [1, 127, 128, 129, 1000, 2 ** 26 + 1, 2 ** 31].every((N) => spanOf(rule, limits, N, null) >= N);
      expect(isDense(rule)).toBe(covers);
    }),
    1000,
  );
});

test('resolveGqa: the ring of a head lists its rule, no other, and spans the largest of its heads at every N', () => {
  property(
    fc.property(arbitraryModule, arbitraryBound, (module, N) => {
      const { layers, shape, limits } = upTo<RingModule>(module, 'resolveGqa');
      const groupSize = shape.queryHeads / shape.kvHeads;
      for (const { heads, rings, modelWindow } of layers) {
        rings.forEach((ring, kvHead) => {
          const members = heads.slice(kvHead * groupSize, (kvHead + 1) * groupSize);
          expect(new Set(ring.rules)).toEqual(new Set(members.map(({ rule }) => rule)));
          const largest = Math.max(...members.map(({ rule }) => spanOf(rule, limits, N, modelWindow)));
          expect(Math.max(...ring.rules.map((rule) => spanOf(rule, limits, N, modelWindow)))).toBe(largest);
          if (!ring.ageMask) expect(members.every(({ rule }) => spanOf(rule, limits, N, modelWindow) === largest)).toBe(true);
        });
      }
    }),
  );
});

test('groupHeads: groups partition the heads by rule, ring groups the KV heads by their set of rules', () => {
  property(
    fc.property(arbitraryModule, (module) => {
      const rings = upTo<RingModule>(module, 'resolveGqa');
      const groups = upTo<GroupModule>(module, 'groupHeads');
      groups.layers.forEach(({ headGroups, ringGroups }, layer) => {
        const rising = (numbers: readonly number[]): boolean => numbers.every((number, index) => index === 0 || numbers[index - 1]! < number);
        expect(headGroups.flatMap(({ heads }) => heads).toSorted((a, b) => a - b)).toEqual(rings.layers[layer]!.heads.map((_, index) => index));
        for (const { rule, heads } of headGroups) {
          expect(rising(heads)).toBe(true);
          for (const head of heads) expect(rings.layers[layer]!.heads[head]!.rule).toStrictEqual(rule);
        }
        expect(new Set(headGroups.map(({ rule }) => JSON.stringify(rule))).size).toBe(headGroups.length);
        for (const { rules, slack, ageMask, kvHeads } of ringGroups) {
          expect(rising(kvHeads)).toBe(true);
          for (const kvHead of kvHeads) expect(rings.layers[layer]!.rings[kvHead]).toStrictEqual({ kind: 'ring', kvHead, rules, slack, ageMask });
        }
        expect(new Set(ringGroups.map(({ rules }) => JSON.stringify(rules))).size).toBe(ringGroups.length);
      });
    }),
  );
});

test('layoutKvCache: page ranges of rings are disjoint and cover the layer; a ring holds its sink and its window', () => {
  property(
    fc.property(arbitraryModule, arbitraryBound, fc.constantFrom(0, 64, 256), (module, N, slack) => {
      const { layers, limits, layout } = runPasses(module, pipeline, { ...context, slack }, undefined, 'layoutKvCache') as LaidOutModule;
      for (const { ringGroups, pages: all, modelWindow } of layers) {
        const sink = modelWindow === null ? limits.sink : 0;
        const ranges = ringGroups.flatMap(({ group, pages, firstPage, span }) => {
          const [count, first, tokens] = [pages, firstPage, span].map((expression) => evaluate(expression, { N })) as [number, number, number];
          const longest = Math.max(...group.rules.map((rule) => spanOf(rule, limits, N, modelWindow)));
          const whole = Math.ceil(Math.max(N, limits.minSpan) / limits.page) * limits.page;
          expect(tokens).toBe(group.rules.some(isDense) ? longest : Math.min(longest + slack, whole));
          const [sinkPages, windowPages] = [sink, tokens - sink].map((part) => Math.ceil(part / layout.pageTokens)) as [number, number];
          expect(count).toBe(sinkPages + windowPages);
          return group.kvHeads.map((_, ring) => [first + ring * count, first + (ring + 1) * count] as const);
        });
        let next = 0;
        for (const [begin, end] of ranges.toSorted((a, b) => a[0] - b[0])) {
          expect(begin).toBe(next);
          next = end;
        }
        expect(evaluate(all, { N })).toBe(next);
      }
    }),
  );
});

test('dedupeKernels returns a module without repeats as it came, and keeps every (kernel, layer, architecture)', () => {
  property(
    fc.property(arbitraryModule, (module) => {
      const before = upTo<KernelModule>(module, 'selectTiles');
      const after = dedupeKernels(before);
      const uses = ({ kernels }: KernelModule): Set<string> =>
        new Set(kernels.flatMap(({ name, layers, architectures }) => layers.flatMap((layer) => architectures.map((arch) => `${name} ${layer} ${arch}`))));
      expect(uses(after)).toEqual(uses(before));
      expect(dedupeKernels(after)).toBe(after);
    }),
    40,
  );
});

test('dedupeKernels rejects different code under one name', () => {
  const before = upTo<KernelModule>(fc.sample(arbitraryModule, { numRuns: 1, seed: 3 })[0]!, 'selectTiles');
  const [first] = before.kernels;
  expect(() => dedupeKernels({ ...before, kernels: [first!, { ...first!, threads: 64 }] })).toThrow(/internal error: kernels named/);
});
