/**
 * Merges rules that agree for every N: they become one object, so that later passes compare by identity.
 *
 *     layer 0: 64 | 128 | 1/8*N | N | 4096 + N
 *   becomes (minSpan 128)
 *     layer 0: 128 | 128 | 1/8*N | N | N
 *
 * A rule that never exceeds minSpan is the constant minSpan; one that is never below N is the dense rule `N`.
 *
 * Invariant: two rules of the module that agree for every N are the same object.
 */
import { roundUp, constant, evaluate } from '../ir/affine.ts';
import type { HeadModule } from '../ir/nodes.ts';
import { isDense, type Rule, type SpanLimits } from '../ir/rule.ts';

export function canonicalizeRules(module: HeadModule): HeadModule {
  const interned = new Map<string, Rule>();
  let changed = false;
  const layers = module.layers.map((layer) => {
    const heads = layer.heads.map((head) => {
      const rule = canonicalRule(head.rule, module.limits);
      const key = `${rule.alpha} ${rule.numerator} ${rule.denominator}`;
      const known = interned.get(key);
      if (known === undefined) interned.set(key, rule);
      if ((known ?? rule) === head.rule) return head;
      changed = true;
      return { ...head, rule: known ?? rule };
    });
    return { ...layer, heads };
  });
  return changed ? { ...module, layers } : module;
}

function canonicalRule(rule: Rule, limits: SpanLimits): Rule {
  const { alpha, numerator } = rule;
  if (numerator === 0) {
    // A constant acts only after it is rounded up to whole pages, and never below minSpan.
    const floor = Math.max(alpha, limits.minSpan);
    const rounded = evaluate(roundUp(constant(floor), limits.page), {});
    return rounded === alpha ? rule : { kind: 'rule', alpha: rounded, numerator: 0, denominator: 1 };
  }
  if (isDense(rule) && alpha !== 0) return { kind: 'rule', alpha: 0, numerator: 1, denominator: 1 };
  return rule;
}
