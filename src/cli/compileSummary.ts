/** What every compilation says of its package: for which model, which element types, and how much of the cache. */
import type { CompiledPlan } from '../compile.ts';
import { inspectPlan } from '../inspect.ts';
import { attentionWords } from '../ir/attention.ts';
import type { AttentionFacts, CacheType, ElementType, HeadModule, ModelShape } from '../ir/nodes.ts';
import { ranges } from '../ir/print.ts';
import { formatPercent } from './output.ts';

/** The length bound that densities of a summary are at, in tokens. */
export const SUMMARY_LENGTH = 16384;

export interface CompileSummary {
  /** Of the whole model, whatever the ranks. */
  readonly shape: ModelShape;
  readonly attention: AttentionFacts;
  readonly elementTypes: readonly ElementType[];
  readonly cacheType: CacheType;
  readonly cacheDensity: { readonly length: number; readonly density: number };
}

export function compileSummary(
  module: HeadModule,
  compiled: readonly CompiledPlan[],
  { cacheType, slack }: { readonly cacheType: CacheType; readonly slack: number },
): CompileSummary {
  const [figures] = inspectPlan(module, [SUMMARY_LENGTH], { cacheType, slack }).lengths;
  return {
    shape: module.shape,
    attention: module.attention,
    elementTypes: compiled[0]!.elementTypes,
    cacheType,
    cacheDensity: { length: SUMMARY_LENGTH, density: figures!.cacheDensity },
  };
}

/** `summary` as lines of text. */
export function summaryText({ shape, attention, elementTypes, cacheType, cacheDensity }: CompileSummary): string {
  const numbers = shape.layerNumbers === undefined ? '' : ` (${ranges(shape.layerNumbers)} of the model)`;
  const scores = attentionWords(attention, shape).map((word) => `, ${word}`);
  const cache = cacheType === 'element' ? '' : `, cache in ${cacheType}`;
  return [
    `    model: ${shape.layers} layers${numbers}, ${shape.queryHeads} query heads on ${shape.kvHeads} KV heads, headDim ${shape.headDim}${scores.join('')}`,
    `    element types: ${elementTypes.join(' and ')}${cache}`,
    `    cache density: ${formatPercent(cacheDensity.density)} at ${cacheDensity.length} tokens`,
  ].join('\n');
}
