/**
 * Heads of one rule become a group, and rings of equal rules become a ring group; groups stand in the canonical order of rules,
 * the longest first. The permutation is folded into addressing: heads keep their numbers and no data moves.
 *
 *     layer 0: heads A B A B; ring 0 {A} ring 1 {B} ring 2 {A} ring 3 {B}
 *   becomes
 *     layer 0: group A: heads 0 2 | group B: heads 1 3; ring group {A}: 0 2 | ring group {B}: 1 3
 *
 * Invariant: the groups of a layer partition its query heads, the ring groups its KV heads.
 */
import type { GroupLayer, GroupModule, HeadGroup, RingGroup, RingLayer, RingModule } from '../ir/nodes.ts';
import { compareRules, type Rule } from '../ir/rule.ts';

export function groupHeads(module: RingModule): GroupModule {
  return {
    kind: 'groupModule',
    shape: module.shape,
    attention: module.attention,
    rope: module.rope,
    limits: module.limits,
    layers: module.layers.map(groupLayer),
  };
}

function groupLayer(layer: RingLayer): GroupLayer {
  const heads = new Map<Rule, number[]>();
  layer.heads.forEach((head, index) => append(heads, head.rule, index));
  const headGroups = [...heads]
    .map(([rule, members]): HeadGroup => ({ kind: 'headGroup', rule, heads: members }))
    .sort((a, b) => compareRules(a.rule, b.rule));

  const rings = new Map<string, RingGroup & { kvHeads: number[] }>();
  for (const ring of layer.rings) {
    const key = ring.rules.map((rule) => `${rule.alpha} ${rule.numerator} ${rule.denominator}`).join(', ');
    const group = rings.get(key);
    if (group !== undefined) group.kvHeads.push(ring.kvHead);
    else rings.set(key, { kind: 'ringGroup', rules: ring.rules, slack: ring.slack, ageMask: ring.ageMask, kvHeads: [ring.kvHead] });
  }
  const ringGroups = [...rings.values()].sort(compareRingGroups);
  return { kind: 'groupLayer', modelWindow: layer.modelWindow, headGroups, ringGroups };
}

function compareRingGroups(a: RingGroup, b: RingGroup): number {
  for (let n = 0; n < Math.max(a.rules.length, b.rules.length); n += 1) {
    const left = a.rules[n];
    const right = b.rules[n];
    if (left === undefined) return -1;
    if (right === undefined) return 1;
    const order = compareRules(left, right);
    if (order !== 0) return order;
  }
  return 0;
}

function append<Key>(map: Map<Key, number[]>, key: Key, value: number): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
