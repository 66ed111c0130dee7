import { usualAttention } from '../ir/attention.ts';
import type { AttentionFacts, HeadLayer, HeadModule, HeadNode, ModelShape } from '../ir/nodes.ts';
import type { ModelRope } from '../ir/rope.ts';
import type { Rule } from '../ir/rule.ts';
import { invariant } from '../util/invariant.ts';
import type { ParsedPlan } from './planSchema.ts';

/**
 * The first level of the IR: a rule for every query head, each with the path of the plan it came from, and each layer's
 * own window in the model. Equal rules become one object. `model` is what `resolveModelShape` found for this plan.
 */
export function buildModule(
  plan: ParsedPlan,
  shape: ModelShape,
  attention: AttentionFacts = usualAttention(shape),
  windows: readonly (number | null)[] = plan.rules.map(() => null),
  rope: ModelRope | null = null,
): HeadModule {
  invariant(windows.length === shape.layers, 'buildModule: there is a window, or null, for every layer');
  invariant(plan.layers === shape.layers && plan.queryHeads === shape.queryHeads, 'buildModule: the shape is not that of the plan');
  const intern = ruleInterner();
  const { originOf = (layer, head) => `alphas[${layer}][${head}]` } = plan;
  const layers = plan.rules.map((rules, layer): HeadLayer => {
    const heads = rules.map((rule, head): HeadNode => {
      return { kind: 'head', rule: intern(rule), origin: { path: originOf(layer, head) } };
    });
    return { kind: 'headLayer', modelWindow: windows[layer]!, heads };
  });
  return { kind: 'headModule', shape, attention, rope, limits: plan.limits, layers };
}

/** A function that gives one object for all equal rules: the first it saw. */
function ruleInterner(): (rule: Rule) => Rule {
  const known = new Map<string, Rule>();
  return (rule) => {
    const key = `${rule.alpha},${rule.numerator},${rule.denominator}`;
    const earlier = known.get(key);
    if (earlier === undefined) known.set(key, rule);
    return earlier ?? rule;
  };
}
