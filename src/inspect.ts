/** What a plan keeps and costs: the numbers behind `moa-compile inspect`. */
import { effectiveMask, evaluate, isCutByModel, printRule, sinkOf, spanOf } from './ir/affine.ts';
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
  /** The model's own window in those layers, in tokens; null where they attend everything. */
  readonly modelWindow: number | null;
  /** Tokens at the start that they always attend. */
  readonly sink: number;
  /** Tokens, at each length; cut at the model's window. */
  readonly spans: readonly number[];
}

export interface LengthFigures {
  /** N, tokens. */
  readonly length: number;
  /** Kept KV slots / N, averaged over query heads: what the plan asks for, within the model's own windows. */
  readonly planDensity: number;
  /** Kept KV slots / N, averaged over KV heads: a ring has the largest span of its query heads. */
  readonly cacheDensity: number;
  /** Pairs the mask allows / causal pairs, averaged over query heads. */
  readonly computeDensity: number;
  /** Query heads that keep less than the plan asks for, since the model's own window is the smaller one. */
  readonly headsCutByModel: number;
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
  /** By layer: the model's own window in tokens, null where it attends everything. Such a layer has no sink. */
  readonly modelWindows: readonly (number | null)[];
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
    modelWindows: module.layers.map(({ modelWindow }) => modelWindow),
    rules: ruleUses(heads, lengths),
    groups: laidOut.layers.map((layer, index) => ({
      layer: numbers[index]!,
      headGroups: layer.headGroups.length,
      ringGroups: layer.ringGroups.length,
      ageMaskedRings: layer.ringGroups.reduce((sum, { group }) => sum + (group.ageMask ? group.kvHeads.length : 0), 0),
    })),
    uniformRings: allRings.filter((ring) => ring.rules.length === 1).length,
    rings: allRings.length,
    lengths: lengths.map((length) => figuresAt(module, heads, laidOut, length)),
  };
}

function ruleUses(module: HeadModule, lengths: readonly number[]): RuleUse[] {
  interface Use {
    readonly rule: Rule;
    readonly modelWindow: number | null;
    heads: number;
    readonly layers: Set<number>;
  }
  const uses = new Map<string, Use>();
  module.layers.forEach(({ heads, modelWindow }, index) => {
    for (const { rule } of heads) {
      const key = `${printRule(rule)} ${modelWindow}`;
      const use = uses.get(key) ?? { rule, modelWindow, heads: 0, layers: new Set() };
      use.heads += 1;
      use.layers.add(index);
      uses.set(key, use);
    }
  });
  return [...uses.values()]
    .map(({ rule, modelWindow, heads, layers }) => ({
      rule: printRule(rule),
      heads,
      layers: layers.size,
      modelWindow,
      sink: sinkOf(module.limits, modelWindow),
      spans: lengths.map((length) => spanOf(rule, module.limits, length, modelWindow)),
    }))
    .sort((a, b) => b.heads - a.heads || (a.rule < b.rule ? -1 : 1));
}

/** @param module as it was read; `heads` is the same with canonical rules, of which a model's window has cut some */
function figuresAt(module: HeadModule, heads: HeadModule, laidOut: LaidOutModule, length: number): LengthFigures {
  const { shape, limits, layout } = laidOut;
  const kept = (span: number): number => Math.min(span, length) / length;
  const perHead = (of: HeadModule, value: (rule: Rule, modelWindow: number | null) => number): number[] =>
    of.layers.flatMap((layer) => layer.heads.map(({ rule }) => value(rule, layer.modelWindow)));
  const causal = (length * (length + 1)) / 2;
  const rings = laidOut.layers.flatMap((layer) => layer.ringGroups.flatMap(({ group, span }) => group.kvHeads.map(() => evaluate(span, { N: length }))));
  const pages = laidOut.layers.reduce((sum, layer) => sum + evaluate(layer.pages, { N: length }), 0);
  const computed = perHead(heads, (rule, modelWindow) => {
    const { window, sink } = effectiveMask(rule, limits, length, modelWindow);
    return activePairs(length, window, sink) / causal;
  });
  const cut = perHead(module, (rule, modelWindow) => (isCutByModel(rule, limits, length, modelWindow) ? 1 : 0));
  return {
    length,
    planDensity: mean(perHead(heads, (rule, modelWindow) => kept(spanOf(rule, limits, length, modelWindow)))),
    cacheDensity: mean(rings.map(kept)),
    computeDensity: mean(computed),
    headsCutByModel: cut.reduce((sum, one) => sum + one, 0),
    cacheBytes: pages * layout.pageBytes,
    denseBytes: shape.layers * shape.kvHeads * length * (layout.pageBytes / layout.pageTokens),
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
