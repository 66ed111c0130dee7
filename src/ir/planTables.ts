/**
 * What follows from a plan, as tables of integers that planning kernels read: rules and expressions, from which they compute windows at any length bound
 * (templates/include/moa/plan/windows.cuh).
 */
import { assertNever, invariant } from '../util/invariant.ts';
import { effectiveSpan, type Expression } from './affine.ts';
import { layerClasses } from './layerClasses.ts';
import type { PlanDefinition, PlanTables } from './planDefinition.ts';
import type { Rule } from './rule.ts';
import { spanOps, type SpanOp } from './spanOps.ts';

/** What tables depend on. */
export type TabledPlan = Pick<PlanDefinition, 'shape' | 'limits' | 'rules' | 'expressions' | 'layers'>;

/** Values that kernels have room for on the stack of an expression (`moa::kSpanDepth`). */
export const spanDepth = 6;

export function planTables(plan: TabledPlan): PlanTables {
  const { definitions, ofLayer } = layerClasses(plan);
  const table = new SpanTable(plan.limits);
  const headSpans = definitions.map(({ heads, modelWindow }) => heads.map((rule) => table.index(effectiveSpan(plan.rules[rule]!, plan.limits, modelWindow))));
  const ringSpans = definitions.map(({ rings }) => {
    const ofHeads = new Array<number>(plan.shape.kvHeads);
    for (const { kvHeads, span } of rings) for (const kvHead of kvHeads) ofHeads[kvHead] = table.index(plan.expressions[span]!);
    return ofHeads;
  });
  invariant(table.depth <= spanDepth, 'kernels have room for the stack of every expression');
  return {
    layerClass: ofLayer,
    headSpans,
    ringSpans,
    sinks: definitions.map(({ sink }) => sink),
    rules: table.rules.map(({ alpha, numerator, denominator }) => [alpha, numerator, denominator]),
    steps: table.steps.flatMap((steps) => steps.map(({ op, value }) => [spanOps.indexOf(op), value])),
    begins: table.begins,
  };
}

/** A step of `moa::evaluateSpan`. */
interface Step {
  readonly op: SpanOp;
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

  constructor(limits: TabledPlan['limits']) {
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
      case 'product':
        throw new Error('internal error: no span is a product of two expressions');
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
