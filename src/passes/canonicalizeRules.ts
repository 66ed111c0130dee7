/**
 * Merges rules that agree for every N: they become one object, so that later passes compare by identity.
 *
 *     layer 0: 64 | 128 | 1/8*N | N | 4096 + N
 *   becomes (minSpan 128)
 *     layer 0: 128 | 128 | 1/8*N | N | N
 *
 * A rule that never exceeds minSpan is the constant minSpan; one that is never below N is the dense rule `N`. In a layer
 * with a window of the model's own, one that never keeps less than that window is the constant of it:
 *
 *     layer 0, model window 128: 384 | N | 1024 + 1/8*N | 128
 *   becomes
 *     layer 0, model window 128: 128 | 128 | 128 | 128
 *
 * Invariant: two rules of the module that agree for every N are the same object; in a layer with a window of the model's
 * own also two that leave all of it.
 */
import { roundUp, constant, evaluate } from '../ir/affine.ts';
import type { HeadModule } from '../ir/nodes.ts';
import { isDense, type Rule, type SpanLimits } from '../ir/rule.ts';

export function canonicalizeRules(module: HeadModule): HeadModule {
  const interned = new Map<string, Rule>();
  let changed = false;
  const layers = module.layers.map((layer) => {
    const heads = layer.heads.map((head) => {
      const rule = canonicalRule(head.rule, module.limits, layer.modelWindow);
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

function canonicalRule(rule: Rule, limits: SpanLimits, modelWindow: number | null): Rule {
  if (modelWindow !== null && coversWindow(rule, limits, modelWindow)) return constantRule(modelWindow, rule);
  const { alpha, numerator } = rule;
  if (numerator === 0) {
    // A constant acts only after it is rounded up to whole pages, and never below minSpan.
    const floor = Math.max(alpha, limits.minSpan);
    return constantRule(evaluate(roundUp(constant(floor), limits.page), {}), rule);
  }
  if (isDense(rule) && alpha !== 0) return { kind: 'rule', alpha: 0, numerator: 1, denominator: 1 };
  return rule;
}

/**
 * Whether `rule` keeps all of the model's window, for every N. With the first token of the window's last page a span is
 * whole pages up to the window's end. A rule rises by at most one token for each of N; so one that keeps that token of the
 * shortest sequence that has it keeps all tokens of shorter sequences, and the window of longer ones.
 */
function coversWindow({ alpha, numerator, denominator }: Rule, limits: SpanLimits, modelWindow: number): boolean {
  if (limits.minSpan >= modelWindow) return true;
  const least = (Math.ceil(modelWindow / limits.page) - 1) * limits.page + 1;
  const kept = BigInt(alpha) * BigInt(denominator) + BigInt(numerator) * BigInt(least);
  return kept >= BigInt(least) * BigInt(denominator);
}

/** The rule of a constant; `rule` itself where it is that. */
function constantRule(tokens: number, rule: Rule): Rule {
  if (rule.numerator === 0 && rule.alpha === tokens) return rule;
  return { kind: 'rule', alpha: tokens, numerator: 0, denominator: 1 };
}
