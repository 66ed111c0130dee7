/** Windows as an emitted kernel computes them, against the expressions of the plan as the host evaluates them. */
import { readFileSync } from 'node:fs';
import Handlebars from 'handlebars';
import { expect, test } from 'vitest';
import { findArchitecture } from '../../src/arch/registry.ts';
import { compile } from '../../src/compile.ts';
import { spanContext, type SpanPlan } from '../../src/emit/spanContext.ts';
import { templatesFolder } from '../../src/emit/templateEngine.ts';
import {
  add, constant, divide, effectiveSpan, evaluate, lengthBound, max, min, multiply, roundUp, sinkOf, span, subtract,
  windowOf, type Expression,
} from '../../src/ir/affine.ts';
import { layerClasses } from '../../src/ir/layerClasses.ts';
import type { LayerDefinition } from '../../src/ir/planDefinition.ts';
import type { Rule, SpanLimits } from '../../src/ir/rule.ts';
import { DiagnosticList, formatDiagnostic } from '../../src/util/diagnostics.ts';
import { compileText, planText } from '../compile/support.ts';
import { runCxx } from '../cxx.ts';
import { listPublishedPlans, publishedFor, readRepositoryFile } from '../plan/support.ts';
import { randomOf } from '../random.ts';

const partial = readFileSync(`${templatesFolder}partials/spans.hbs`, 'utf8');
const render = Handlebars.create().compile<unknown>(partial, { noEscape: true, strict: true });

const random = randomOf(2024);
const below = (count: number): number => Math.floor(random() * count);
const pick = <T>(values: readonly T[]): T => values[below(values.length)]!;

const longest = 2 ** 24;
const someBounds = Array.from({ length: 30 }, () => 1 + below(2 ** (1 + below(24))));
const bounds = [1, 63, 64, 65, 127, 128, 129, 4096, 100_000, longest - 1, longest, ...someBounds];

/** A program that prints the windows of all classes at each bound that it reads: of query heads, then of rings. */
function programOf(plans: readonly SpanPlan[]): string {
  const texts = plans.map((plan, index) => {
    const { queryHeads, kvHeads } = plan.shape;
    const classes = layerClasses(plan).definitions.length;
    return `
namespace plan${index} {
${render(spanContext(plan))}
static void print(int bound) {
    for (int c = 0; c < ${classes}; ++c) {
        for (int head = 0; head < ${queryHeads}; ++head) put(Windows::windowOf(c, head, bound));
        for (int head = 0; head < ${kvHeads}; ++head) put(Windows::ringWindowOf(c, head, bound));
    }
}
}`;
  });
  return `
#include <cstdio>
#include <moa/plan/spans.cuh>
static void put(int value) { std::fwrite(&value, 4, 1, stdout); }
${texts.join('\n')}
int main() {
    for (int bound; std::fread(&bound, 4, 1, stdin) == 1;) {
${plans.map((_, index) => `        plan${index}::print(bound);`).join('\n')}
    }
}`;
}

/** What the program of `programOf` prints. */
function expected(plans: readonly SpanPlan[]): number[] {
  return bounds.flatMap((bound) =>
    plans.flatMap((plan) =>
      layerClasses(plan).definitions.flatMap(({ heads, rings, modelWindow, sink }) => {
        const ofRings = new Array<number>(plan.shape.kvHeads);
        for (const { kvHeads, span: tokens } of rings) {
          for (const kvHead of kvHeads) ofRings[kvHead] = evaluate(plan.expressions[tokens]!, { N: bound }) - sink;
        }
        return [...heads.map((rule) => windowOf(plan.rules[rule]!, plan.limits, bound, modelWindow)), ...ofRings];
      }),
    ),
  );
}

function compare(plans: readonly SpanPlan[]): void {
  const printed = runCxx(programOf(plans), new Uint8Array(Int32Array.from(bounds).buffer));
  const found = Array.from(new Int32Array(Uint8Array.from(printed).buffer));
  const wanted = expected(plans);
  expect(found.length).toBe(wanted.length);
  expect(found.findIndex((value, index) => value !== wanted[index])).toBe(-1);
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

function randomPlan(layers: number, queryHeads: number, kvHeads: number, ruleCount: number): SpanPlan {
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

test('of random rules, limits, windows of the model and slack', () => {
  compare(Array.from({ length: 24 }, (_, index) => randomPlan(1 + below(4), 8, pick([1, 2, 8]), 1 + index)));
});

test('of as many layers and rules as plans may have', () => {
  compare([randomPlan(32, 32, 32, 256), randomPlan(32, 64, 8, 256)]);
});

test('of every kind of expression', () => {
  const limits: SpanLimits = { sink: 0, page: 64, minSpan: 128 };
  const rule: Rule = { kind: 'rule', alpha: -3, numerator: 1, denominator: 3 };
  const tokens = span(rule, limits);
  const expressions = [
    constant(7),
    lengthBound,
    multiply(divide(tokens, 64), 3),
    subtract(subtract(lengthBound, constant(5)), subtract(constant(2), tokens)),
    add(min(lengthBound, constant(500)), max(add(lengthBound, constant(1)), multiply(min(tokens, lengthBound), 2))),
    roundUp(roundUp(lengthBound, 10), 256),
    min(constant(1), min(constant(2), min(constant(3), min(constant(4), lengthBound)))),
  ];
  const rings = expressions.map((_, kvHead) => ({ kvHeads: [kvHead], rules: [0], span: kvHead, pages: 0 }));
  const heads = expressions.map(() => 0);
  const shape = { layers: 1, queryHeads: rings.length, kvHeads: rings.length, headDim: 64 };
  compare([{ shape, limits, rules: [rule], expressions, layers: [{ modelWindow: null, sink: 0, heads, rings }] }]);
});

const architectures = [findArchitecture('sm_80')!];

test('of compiled plans: with slack, several tokens at once, and windows of the model', () => {
  const text = planText({ layers: 3, queryHeads: 8, kvHeads: 2, headDim: 64, sink: 100, mixed: true });
  const windows = [null, 192, 320];
  const windowed = JSON.stringify({ ...JSON.parse(text), model: { ...JSON.parse(text).model, windows } });
  const compiled = [
    compileText(text, { architectures }),
    compileText(text, { architectures, slack: 100, decodeTokens: 4 }),
    compileText(windowed, { architectures, slack: 64 }),
  ];
  compare(compiled.map(({ runtime }) => runtime({}).definition));
});

test('of the published plans', () => {
  const published = listPublishedPlans();
  const plans = publishedFor.flatMap(([example, name]) => {
    const text = published.get(name)?.toString();
    if (text === undefined) return [];
    const config = { text: readRepositoryFile(`examples/${example}/config.json`).toString(), file: 'config.json' };
    const diagnostics = new DiagnosticList();
    const compiled = compile({ text, file: name }, config, { architectures }, diagnostics);
    if (compiled === undefined) throw new Error(diagnostics.toArray().map(formatDiagnostic).join('\n'));
    return [compiled.runtime({}).definition];
  });
  if (plans.length > 0) compare(plans);
});

test('lines of tables are not too long, and rules that are equal are one', () => {
  const context = spanContext(randomPlan(8, 64, 64, 256));
  const rows = [context.spanSteps, context.spanBegins, context.headSpans, context.ringSpans, context.spanSinks].flat();
  expect(rows.filter(({ line }) => line.length > 116)).toEqual([]);
  expect(new Set(context.spanRules.map(({ text }) => text)).size).toBe(context.spanRules.length);
});
