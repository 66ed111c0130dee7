/**
 * What the partial `spans` needs: rules and expressions of a plan as tables, from which a kernel computes windows at
 * any length bound.
 */
import { effectiveSpan, printRule, type Expression } from '../ir/affine.ts';
import { layerClasses } from '../ir/layerClasses.ts';
import type { PlanDefinition } from '../ir/planDefinition.ts';
import type { Rule } from '../ir/rule.ts';
import { assertNever, invariant } from '../util/invariant.ts';

/** What spans depend on. */
export type SpanPlan = Pick<PlanDefinition, 'shape' | 'limits' | 'rules' | 'expressions' | 'layers'>;

interface Line {
  readonly line: string;
}

export interface SpanContext {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly minSpan: number;
  /** Tokens that spans are multiples of. */
  readonly spanPage: number;
  /** Values that an expression has on its stack at once, at most. */
  readonly spanDepth: number;
  readonly spanRules: readonly {
    readonly index: number;
    readonly alpha: number;
    readonly numerator: number;
    readonly denominator: number;
    readonly text: string;
  }[];
  readonly spanSteps: readonly Line[];
  readonly spanBegins: readonly Line[];
  readonly headSpans: readonly Line[];
  readonly ringSpans: readonly Line[];
  readonly spanSinks: readonly Line[];
}

export function spanContext(plan: SpanPlan): SpanContext {
  const { queryHeads, kvHeads } = plan.shape;
  const { definitions } = layerClasses(plan);
  const table = new SpanTable(plan.limits);
  const headSpans: string[][] = [];
  const ringSpans: string[][] = [];
  for (const { heads, rings, modelWindow } of definitions) {
    headSpans.push(
      heads.map((rule) => table.index(effectiveSpan(plan.rules[rule]!, plan.limits, modelWindow))).map(String),
    );
    const ofHeads = new Array<string>(kvHeads);
    for (const { kvHeads: members, span } of rings) {
      const index = String(table.index(plan.expressions[span]!));
      for (const kvHead of members) ofHeads[kvHead] = index;
    }
    ringSpans.push(ofHeads);
  }
  return {
    queryHeads,
    kvHeads,
    minSpan: plan.limits.minSpan,
    spanPage: plan.limits.page,
    spanDepth: table.depth,
    spanRules: table.rules.map((rule, index) => ({ ...rule, index, text: printRule(rule) })),
    spanSteps: table.steps.flatMap((steps) => lines(steps.map(({ op, value }) => `{Op::${op}, ${value}}`))),
    spanBegins: lines(table.begins.map(String)),
    headSpans: headSpans.flatMap(lines),
    ringSpans: ringSpans.flatMap(lines),
    spanSinks: lines(definitions.map(({ sink }) => String(sink))),
  };
}

/** A step of `moa::evaluateSpan`. */
interface Step {
  readonly op: 'constant' | 'bound' | 'add' | 'subtract' | 'min' | 'max' | 'span' | 'multiply' | 'divide' | 'roundUp';
  readonly value: number;
}

/** Expressions as steps for a stack, each once, and the rules that they name. */
class SpanTable {
  readonly rules: Rule[] = [];
  /** Of each expression. */
  readonly steps: (readonly Step[])[] = [];
  depth = 1;
  readonly #limits: string;
  readonly #rules = new Map<string, number>();
  readonly #expressions = new Map<string, number>();

  constructor(limits: SpanPlan['limits']) {
    this.#limits = JSON.stringify(limits);
  }

  /** The steps before those of each expression, and after the last. */
  get begins(): number[] {
    const begins = [0];
    for (const steps of this.steps) begins.push(begins.at(-1)! + steps.length);
    return begins;
  }

  index(expression: Expression): number {
    const key = JSON.stringify(expression);
    let found = this.#expressions.get(key);
    if (found === undefined) {
      const steps = this.#stepsOf(expression, 0);
      this.#expressions.set(key, (found = this.steps.length));
      this.steps.push(steps);
    }
    return found;
  }

  /** @param below values that are on the stack before */
  #stepsOf(expression: Expression, below: number): Step[] {
    this.depth = Math.max(this.depth, below + 1);
    switch (expression.kind) {
      case 'constant':
        return [{ op: 'constant', value: expression.value }];
      case 'variable':
        invariant(expression.name === 'N', 'a span is a function of the length bound');
        return [{ op: 'bound', value: 0 }];
      case 'span':
        invariant(JSON.stringify(expression.limits) === this.#limits, 'the rules of a plan have its limits');
        return [{ op: 'span', value: this.#ruleIndex(expression.rule) }];
      case 'add':
      case 'subtract':
      case 'min':
      case 'max': {
        const { kind, left, right } = expression;
        return [...this.#stepsOf(left, below), ...this.#stepsOf(right, below + 1), { op: kind, value: 0 }];
      }
      case 'multiply':
      case 'divide':
        return [...this.#stepsOf(expression.operand, below), { op: expression.kind, value: expression.by }];
      case 'roundUp':
        return [...this.#stepsOf(expression.operand, below), { op: 'roundUp', value: expression.multiple }];
      default:
        return assertNever(expression);
    }
  }

  #ruleIndex(rule: Rule): number {
    const key = JSON.stringify(rule);
    let found = this.#rules.get(key);
    if (found === undefined) {
      this.#rules.set(key, (found = this.rules.length));
      this.rules.push(rule);
    }
    return found;
  }
}

const lineWidth = 110;

/** The items of an initializer, each followed by a comma, in lines that are not too long. */
function lines(items: readonly string[]): Line[] {
  const found: string[] = [];
  for (const item of items) {
    const last = found.at(-1);
    if (last === undefined || last.length + item.length + 2 > lineWidth) found.push(`${item},`);
    else found[found.length - 1] = `${last} ${item},`;
  }
  return found.map((line) => ({ line }));
}
