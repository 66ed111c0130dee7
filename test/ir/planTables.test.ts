/**
 * Windows of sequences as `changeSequence` computes them on the emulator from the tables of a plan, against the plan's expressions as the host
 * evaluates them.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findArchitecture } from '../../src/arch/registry.ts';
import { compile } from '../../src/compile.ts';
import {
  add, constant, divide, effectiveSpan, evaluate, lengthBound, max, min, multiply, roundUp, sinkOf, span, subtract,
  windowOf, type Expression,
} from '../../src/ir/affine.ts';
import { layerClasses } from '../../src/ir/layerClasses.ts';
import type { LayerDefinition } from '../../src/ir/planDefinition.ts';
import { planTables, spanDepth, type TabledPlan } from '../../src/ir/planTables.ts';
import type { Rule, SpanLimits } from '../../src/ir/rule.ts';
import { Device } from '../../src/runtime/device.ts';
import { DiagnosticList, formatDiagnostic } from '../../src/util/diagnostics.ts';
import { compileText, planText } from '../compile/support.ts';
import { EmulatedPlanner } from '../emulator/planners.ts';
import { listPublishedPlans, publishedFor, readRepositoryFile } from '../plan/support.ts';
import { randomOf } from '../random.ts';

/** The kernel is built first, if it is not in the cache. */
const buildMs = 60_000;

let device: Device;
let changeSequence: EmulatedPlanner;
beforeAll(async () => {
  device = await Device.open('emulator', { seed: 3, multiprocessors: 4 });
  changeSequence = await EmulatedPlanner.load(device, 'changeSequence');
}, buildMs);
afterAll(() => device.dispose());

const random = randomOf(2024);
const below = (count: number): number => Math.floor(random() * count);
const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;

const longest = 2 ** 24;
const someBounds = Array.from({ length: 30 }, () => 1 + below(2 ** (1 + below(24))));
const bounds = [1, 63, 64, 65, 127, 128, 129, 4096, 100_000, longest - 1, longest, ...someBounds];

/** What the device says of all classes at each bound: windows of query heads, and of rings. */
function windowsOnDevice(plan: TabledPlan, grid: number): { readonly heads: Int32Array; readonly rings: Int32Array } {
  const { queryHeads, kvHeads } = plan.shape;
  const tables = planTables(plan);
  const classes = tables.sinks.length;
  const slots = bounds.length;
  // The classes of the session are those of the plan in falling order.
  const planClasses = Int32Array.from({ length: classes }, (_, classIndex) => classes - 1 - classIndex);
  const data = {
    planClasses,
    spanRules: Int32Array.from(tables.rules.flat()),
    spanSteps: Int32Array.from(tables.steps.flat()),
    spanBegins: Int32Array.from(tables.begins),
    headSpans: Int32Array.from(tables.headSpans.flat()),
    ringSpans: Int32Array.from(tables.ringSpans.flat()),
    spanSinks: Int32Array.from(tables.sinks),
    bounds: new Int32Array(slots),
    reserved: new Int32Array(slots),
    sharing: new Int32Array(slots),
    windows: new Int32Array(classes * slots * queryHeads).fill(-7),
    rings: new Int32Array(classes * slots * kvHeads * 2).fill(-7),
  };
  const buffers = Object.entries(data).map(([name, values]) => [name, device.upload(values.length > 0 ? values : Int32Array.of(0))] as const);
  const shared = {
    ...Object.fromEntries(buffers.map(([name, { address }]) => [name, address])),
    pageTable: 0n,
    refs: 0n,
    freePages: 0n,
    freeCount: 0n,
    pagedLayers: 0n,
    ringPlaces: 0n,
    ticket: 0n,
    lengths: 0n,
    lengthStride: 0,
    layers: 0,
    classes,
    slots,
    queryHeads,
    kvHeads,
    minSpan: plan.limits.minSpan,
    operation: 0,
    other: -1,
  };
  bounds.forEach((bound, slot) => changeSequence.launch(grid, { ...shared, slot, value: bound }));
  const read = (wanted: keyof typeof data): Int32Array =>
    buffers.find(([name]) => name === wanted)![1].read(new Int32Array(data[wanted].length));
  const [heads, rings] = [read('windows'), read('rings')];
  expect(Array.from(read('bounds'))).toEqual(bounds);
  for (const [, buffer] of buffers) buffer.dispose();
  return { heads, rings };
}

function compare(plan: TabledPlan): void {
  const { definitions } = layerClasses(plan);
  const { heads, rings } = windowsOnDevice(plan, 1 + below(4));
  const ofHeads: number[] = [];
  const ofRings: number[] = [];
  for (const { heads: rules, rings: groups, modelWindow, sink } of definitions.toReversed()) {
    for (const bound of bounds) {
      ofHeads.push(...rules.map((rule) => windowOf(plan.rules[rule]!, plan.limits, bound, modelWindow)));
      const windows = new Array<number>(plan.shape.kvHeads);
      for (const { kvHeads, span: tokens } of groups) {
        for (const kvHead of kvHeads) windows[kvHead] = evaluate(plan.expressions[tokens]!, { N: bound }) - sink;
      }
      // The places of rings stay as they were.
      ofRings.push(...windows.flatMap((window) => [-7, window]));
    }
  }
  expect(heads.length).toBe(ofHeads.length);
  expect(rings.length).toBe(ofRings.length);
  expect(heads.findIndex((window, index) => window !== ofHeads[index])).toBe(-1);
  expect(rings.findIndex((window, index) => window !== ofRings[index])).toBe(-1);
}

const greatest = (a: number, b: number): number => (b === 0 ? a : greatest(b, a % b));

/** Any legal rule: many at the ends of their ranges, and many that are short or dense. */
function randomRule(): Rule {
  const alpha = pick([0, 0, below(5000), -below(5000), 2 ** 24, -(2 ** 24), below(2 ** 24), -below(2 ** 24)]);
  const denominator = pick([1, 2, 8, 64, 1000, 2 ** 30, 2 ** 30 - 35, 1 + below(2 ** 30)]);
  const numerator = pick([0, denominator, below(denominator + 1), 1]);
  const common = greatest(denominator, numerator);
  return { kind: 'rule', alpha, numerator: numerator / common, denominator: denominator / common };
}

/** As `layoutKvCache` makes them: the longest of some rules, with slack or without. */
function ringSpan(rules: readonly Rule[], limits: SpanLimits, modelWindow: number | null, slack: number): Expression {
  const tokens = rules.map((rule) => effectiveSpan(rule, limits, modelWindow)).reduce(max);
  if (slack === 0) return tokens;
  return min(add(tokens, constant(slack)), roundUp(max(lengthBound, constant(limits.minSpan)), limits.page));
}

function randomPlan(layers: number, queryHeads: number, kvHeads: number, ruleCount: number): TabledPlan {
  const sink = pick([0, 1, 64, 100]);
  const limits: SpanLimits = { sink, page: 64, minSpan: pick([sink + 1, 128, 1000, 2 ** 20]) };
  const rules = Array.from({ length: ruleCount }, randomRule);
  const expressions: Expression[] = [];
  const groupSize = queryHeads / kvHeads;
  const slack = pick([0, 64, 640]);
  const definitions = Array.from({ length: layers }, (): LayerDefinition => {
    const modelWindow = pick([null, null, 1, 4096, 5000, 2 ** 23]);
    const heads = Array.from({ length: queryHeads }, () => below(ruleCount));
    const rings = Array.from({ length: kvHeads }, (_, kvHead) => {
      const own = heads.slice(kvHead * groupSize, (kvHead + 1) * groupSize);
      expressions.push(ringSpan(own.map((rule) => rules[rule]!), limits, modelWindow, slack));
      return { kvHeads: [kvHead], rules: own, span: expressions.length - 1, pages: 0 };
    });
    return { modelWindow, sink: sinkOf(limits, modelWindow), heads, rings };
  });
  return { shape: { layers, queryHeads, kvHeads, headDim: 64 }, limits, rules, expressions, layers: definitions };
}

/** A plan of one layer, each of whose rings has one of the expressions as its span. */
function planOfExpressions(expressions: readonly Expression[], limits: SpanLimits): TabledPlan {
  const rule: Rule = { kind: 'rule', alpha: -3, numerator: 1, denominator: 3 };
  const rings = expressions.map((_, kvHead) => ({ kvHeads: [kvHead], rules: [0], span: kvHead, pages: 0 }));
  const heads = expressions.map(() => 0);
  const shape = { layers: 1, queryHeads: rings.length, kvHeads: rings.length, headDim: 64 };
  return { shape, limits, rules: [rule], expressions, layers: [{ modelWindow: null, sink: 0, heads, rings }] };
}

describe('windows on the device', () => {
  test('of random rules, limits, windows of the model and slack', () => {
    for (let index = 0; index < 24; index += 1) compare(randomPlan(1 + below(4), 8, pick([1, 2, 8]), 1 + index));
  });

  test('of as many layers and rules as plans may have', () => {
    compare(randomPlan(32, 32, 32, 256));
    compare(randomPlan(32, 64, 8, 256));
  });

  test('of every kind of expression', () => {
    const limits: SpanLimits = { sink: 0, page: 64, minSpan: 128 };
    const tokens = span({ kind: 'rule', alpha: -3, numerator: 1, denominator: 3 }, limits);
    const expressions = [
      constant(7),
      lengthBound,
      multiply(divide(tokens, 64), 3),
      subtract(subtract(lengthBound, constant(5)), subtract(constant(2), tokens)),
      add(min(lengthBound, constant(500)), max(add(lengthBound, constant(1)), multiply(min(tokens, lengthBound), 2))),
      roundUp(roundUp(lengthBound, 10), 256),
      deep(spanDepth),
    ];
    compare(planOfExpressions(expressions, limits));
  });

  const architectures = [findArchitecture('sm_80')!];

  test('of compiled plans: with slack, several tokens at once, and windows of the model', () => {
    const text = planText({ layers: 3, queryHeads: 8, kvHeads: 2, headDim: 64, sink: 100, mixed: true });
    const windows = [null, 192, 320];
    const plan = JSON.parse(text) as { readonly model: object };
    const windowed = JSON.stringify({ ...plan, model: { ...plan.model, windows } });
    const compiled = [
      compileText(text, { architectures }),
      compileText(text, { architectures, slack: 100, decodeTokens: 4 }),
      compileText(windowed, { architectures, slack: 64 }),
    ];
    for (const { runtime } of compiled) {
      const definition = runtime({}).definition;
      compare(definition);
      expect(definition.tables).toEqual(planTables(definition));
    }
  });

  test('of the published plans', () => {
    const published = listPublishedPlans();
    for (const [example, name] of publishedFor) {
      const text = published.get(name)?.toString();
      if (text === undefined) continue;
      const config = { text: readRepositoryFile(`examples/${example}/config.json`).toString(), file: 'config.json' };
      const diagnostics = new DiagnosticList();
      const compiled = compile({ text, file: name }, config, { architectures }, diagnostics);
      if (compiled === undefined) throw new Error(diagnostics.toArray().map(formatDiagnostic).join('\n'));
      compare(compiled.runtime({}).definition);
    }
  });
});

/** An expression that has so many values on its stack at once, each of which counts. */
function deep(values: number): Expression {
  return Array.from({ length: values - 1 }, (_, n) => constant(10 ** n)).reduceRight(
    (inner: Expression, value) => subtract(value, inner),
    lengthBound,
  );
}

test('an expression with more values on its stack than kernels have room for is an internal error', () => {
  const limits: SpanLimits = { sink: 0, page: 64, minSpan: 128 };
  expect(() => planTables(planOfExpressions([deep(spanDepth)], limits))).not.toThrow();
  expect(() => planTables(planOfExpressions([deep(spanDepth + 1)], limits))).toThrow('internal error');
});

test('rules and expressions that are equal are one', () => {
  const { rules, begins, steps } = planTables(randomPlan(8, 64, 64, 256));
  expect(new Set(rules.map((rule) => rule.join())).size).toBe(rules.length);
  const expressions = begins.slice(1).map((end, index) => steps.slice(begins[index], end).join(';'));
  expect(new Set(expressions).size).toBe(expressions.length);
  expect(begins.at(-1)).toBe(steps.length);
});
