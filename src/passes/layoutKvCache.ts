/**
 * Lays out the KV cache: the pages of each ring and the place of each ring group among the pages of a (sequence, layer), as
 * functions of N. A ring with slack is longer by that, but never longer than a sequence. A span is a multiple of the page, and a sink that is not is rounded up on its own.
 *
 *     layer 0: ring group {1/8*N}: 0 2 | ring group {128}: 1 3
 *   becomes
 *     layer 0: ring group {1/8*N}: 0 2, pages span(1/8*N)/64, first page 0 | {128}: 1 3, pages span(128)/64, first page 2*span(1/8*N)/64
 *
 * In a layer with a window of the model's own, spans are cut at it and there are no sink pages.
 *
 * Invariant: the ring groups of a layer follow each other without gaps, and `pages` of the layer is their sum.
 */
import {
  add,
  constant,
  divide,
  effectiveSpan,
  lengthBound,
  max,
  min,
  multiply,
  roundUp,
  sinkOf,
  type Expression,
} from '../ir/affine.ts';
import type { CacheType, GroupModule, LaidOutLayer, LaidOutModule, LaidOutRingGroup, PlanFacts } from '../ir/nodes.ts';
import type { SpanLimits } from '../ir/rule.ts';
import type { PassContext } from './pass.ts';

/** Bytes of an element of the cache: bf16 and fp16, or e4m3. */
const elementBytes: Readonly<Record<CacheType, number>> = { element: 2, e4m3: 1 };

export function layoutKvCache(module: GroupModule, { cacheType }: Pick<PassContext, 'cacheType'>): LaidOutModule {
  const { limits } = module;
  return {
    kind: 'laidOutModule',
    shape: module.shape,
    attention: module.attention,
    rope: module.rope,
    limits,
    layout: { pageTokens: limits.page, pageBytes: pageBytesOf(module, cacheType), cacheType },
    layers: module.layers.map((layer): LaidOutLayer => {
      const { modelWindow } = layer;
      let firstPage: Expression = constant(0);
      const ringGroups = layer.ringGroups.map((group): LaidOutRingGroup => {
        const spans = group.rules.map((rule) => effectiveSpan(rule, limits, modelWindow));
        const tokens = withSlack(spans.reduce(max), group.slack, limits);
        const pages = pagesOf(tokens, sinkOf(limits, modelWindow), limits);
        const placed: LaidOutRingGroup = { kind: 'laidOutRingGroup', group, span: tokens, pages, firstPage };
        firstPage = sum(firstPage, multiply(pages, group.kvHeads.length));
        return placed;
      });
      const { headGroups } = layer;
      return { kind: 'laidOutLayer', modelWindow, headGroups, ringGroups, pages: firstPage };
    }),
  };
}

/** `tokens` and the slack, but no more than a sequence of N tokens has. */
function withSlack(tokens: Expression, slack: number, { minSpan, page }: SpanLimits): Expression {
  return slack === 0 ? tokens : min(add(tokens, constant(slack)), roundUp(max(lengthBound, constant(minSpan)), page));
}

/** Bytes of a page: its keys and its values. */
export const pageBytesOf = ({ limits, shape }: PlanFacts, cacheType: CacheType): number => 2 * limits.page * shape.headDim * elementBytes[cacheType];

/** Sink pages, then window pages; a sink that is not whole pages leaves slots of its last page unused. */
function pagesOf(tokens: Expression, sink: number, { page }: SpanLimits): Expression {
  const unused = Math.ceil(sink / page) * page - sink;
  return divide(unused === 0 ? tokens : roundUp(add(tokens, constant(unused)), page), page);
}

function sum(left: Expression, right: Expression): Expression {
  return left.kind === 'constant' && left.value === 0 ? right : add(left, right);
}
