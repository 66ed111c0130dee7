/** What a plan keeps and costs: the numbers behind `moa-compile inspect`. */
import { evaluate, printRule, spanOf, windowOf } from './ir/affine.ts';
import { isUsual } from './ir/attention.ts';
import { layerNumbers } from './ir/layerNumbers.ts';
import type { AttentionFacts, CacheType, HeadModule, LaidOutModule } from './ir/nodes.ts';
import type { Rule } from './ir/rule.ts';
import { activePairs } from './mask/sinkWindow.ts';
import { canonicalizeRules } from './passes/canonicalizeRules.ts';
import { groupHeads } from './passes/groupHeads.ts';
import { layoutKvCache } from './passes/layoutKvCache.ts';
import { resolveGqa } from './passes/resolveGqa.ts';

export interface RuleUse {
  readonly rule: string;
  /** Query heads of all layers that have it. */
  readonly heads: number;
  readonly layers: number;
  /** Tokens, at each length. */
  readonly spans: readonly number[];
}

export interface LengthFigures {
  /** N, tokens. */
  readonly length: number;
  /** Kept KV slots / N, averaged over query heads: what the plan asks for. */
  readonly planDensity: number;
  /** Kept KV slots / N, averaged over KV heads: a ring has the largest span of its query heads. */
  readonly cacheDensity: number;
  /** Pairs the mask allows / causal pairs, averaged over query heads. */
  readonly computeDensity: number;
  /** Of one sequence, whole pages. */
  readonly cacheBytes: number;
  /** Of one sequence with every token in every KV head. */
  readonly denseBytes: number;
}

export interface PlanFigures {
  readonly shape: HeadModule['shape'];
  /** How the model makes scores; absent where that is as usual. */
  readonly attention?: AttentionFacts;
  readonly limits: HeadModule['limits'];
  readonly rules: readonly RuleUse[];
  /** By the numbers that layers have in the model. */
  readonly groups: readonly { readonly layer: number; readonly headGroups: number; readonly ringGroups: number; readonly ageMaskedRings: number }[];
  /** KV heads whose query heads agree on one rule, and all KV heads. */
  readonly uniformRings: number;
  readonly rings: number;
  readonly lengths: readonly LengthFigures[];
}

/**
 * @param options what keys and values are stored as, of which the bytes are, the dense ones too; and tokens that rings keep beyond their spans, rounded up to whole pages
 */
export function inspectPlan(module: HeadModule, lengths: readonly number[], { cacheType = 'element', slack: asked = 0 }: { readonly cacheType?: CacheType; readonly slack?: number } = {}): PlanFigures {
  const slack = Math.ceil(asked / module.limits.page) * module.limits.page;
  const heads = canonicalizeRules(module);
  const ringed = resolveGqa(heads, { slack });
  const laidOut = layoutKvCache(groupHeads(ringed), { cacheType });
  const numbers = layerNumbers(module.shape);
  const allRings = ringed.layers.flatMap((layer) => layer.rings);
  return {
    shape: module.shape,
    ...(isUsual(module.attention, module.shape) ? {} : { attention: module.attention }),
    limits: module.limits,
    rules: ruleUses(heads, lengths),
    groups: laidOut.layers.map((layer, index) => ({
      layer: numbers[index]!,
      headGroups: layer.headGroups.length,
      ringGroups: layer.ringGroups.length,
      ageMaskedRings: layer.ringGroups.reduce((sum, { group }) => sum + (group.ageMask ? group.kvHeads.length : 0), 0),
    })),
    uniformRings: allRings.filter((ring) => ring.rules.length === 1).length,
    rings: allRings.length,
    lengths: lengths.map((length) => figuresAt(heads, laidOut, length)),
  };
}

function ruleUses(module: HeadModule, lengths: readonly number[]): RuleUse[] {
  const uses = new Map<Rule, { heads: number; layers: Set<number> }>();
  module.layers.forEach((layer, index) => {
    for (const { rule } of layer.heads) {
      const use = uses.get(rule) ?? { heads: 0, layers: new Set() };
      use.heads += 1;
      use.layers.add(index);
      uses.set(rule, use);
    }
  });
  return [...uses]
    .map(([rule, use]) => ({
      rule: printRule(rule),
      heads: use.heads,
      layers: use.layers.size,
      spans: lengths.map((length) => spanOf(rule, module.limits, length)),
    }))
    .sort((a, b) => b.heads - a.heads || (a.rule < b.rule ? -1 : 1));
}

function figuresAt(heads: HeadModule, laidOut: LaidOutModule, length: number): LengthFigures {
  const { shape, limits, layout } = laidOut;
  const kept = (span: number): number => Math.min(span, length) / length;
  const rules = heads.layers.flatMap((layer) => layer.heads.map((head) => head.rule));
  const causal = (length * (length + 1)) / 2;
  const rings = laidOut.layers.flatMap((layer) => layer.ringGroups.flatMap(({ group, span }) => group.kvHeads.map(() => evaluate(span, { N: length }))));
  const pages = laidOut.layers.reduce((sum, layer) => sum + evaluate(layer.pages, { N: length }), 0);
  return {
    length,
    planDensity: mean(rules.map((rule) => kept(spanOf(rule, limits, length)))),
    cacheDensity: mean(rings.map(kept)),
    computeDensity: mean(rules.map((rule) => activePairs(length, windowOf(rule, limits, length), limits.sink) / causal)),
    cacheBytes: pages * layout.pageBytes,
    denseBytes: shape.layers * shape.kvHeads * length * (layout.pageBytes / layout.pageTokens),
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
