/**
 * Gives every KV head its ring: the rules of the query heads that share it. The ring's span is their largest at N; heads with a
 * shorter window need an age mask in decode. With slack (`--slack`) a ring is longer than its span by so much, unless it keeps all that there are, and all its heads need one.
 *
 *     layer 0: heads 1/8*N, 1/8*N, N, 1/8*N                     (groupSize 2)
 *   becomes
 *     layer 0: ring 0 {1/8*N}, ring 1 {N, 1/8*N} age mask
 *
 * Invariant: query head h reads ring floor(h / groupSize), and that ring lists h's rule.
 */
import type { HeadModule, RingModule, RingNode } from '../ir/nodes.ts';
import { compareRules, isDense, type Rule } from '../ir/rule.ts';
import type { PassContext } from './pass.ts';

export function resolveGqa(module: HeadModule, context: Pick<PassContext, 'slack'>): RingModule {
  const { kvHeads, queryHeads } = module.shape;
  const groupSize = queryHeads / kvHeads;
  const layers = module.layers.map(({ heads, modelWindow }) => {
    const rings = Array.from({ length: kvHeads }, (_, kvHead): RingNode => {
      const members = heads.slice(kvHead * groupSize, (kvHead + 1) * groupSize);
      const rules = [...new Set<Rule>(members.map((head) => head.rule))].sort(compareRules);
      const slack = rules.some(isDense) ? 0 : context.slack;
      return { kind: 'ring', kvHead, rules, slack, ageMask: rules.length > 1 || slack > 0 };
    });
    return { kind: 'ringLayer' as const, modelWindow, heads, rings };
  });
  return { kind: 'ringModule', shape: module.shape, attention: module.attention, rope: module.rope, limits: module.limits, layers };
}
