/** How models make scores when nothing says otherwise, and what differs from that. */
import type { AttentionFacts, ModelShape, ScoreOptions } from './nodes.ts';

/** Scaled by `1 / sqrt(headDim)`; no cap, no learned sinks. */
export function usualAttention({ headDim }: Pick<ModelShape, 'headDim'>): AttentionFacts {
  return { softCap: 0, learnedSinks: false, scale: 1 / Math.sqrt(headDim) };
}

/** Whether `attention` is what `usualAttention` gives: then neither IR, package nor kernels mention it. */
export function isUsual({ softCap, learnedSinks, scale }: AttentionFacts, shape: Pick<ModelShape, 'headDim'>): boolean {
  return softCap === 0 && !learnedSinks && scale === usualAttention(shape).scale;
}

/** `['soft cap 50', 'learned sinks', 'scale 0.0833']`, of what is not usual. */
export function attentionWords(attention: AttentionFacts, shape: Pick<ModelShape, 'headDim'>): readonly string[] {
  const scaled = attention.scale !== usualAttention(shape).scale;
  return [...scoreWords(attention), ...(scaled ? [`scale ${Number(attention.scale.toPrecision(6))}`] : [])];
}

/** `['soft cap 50', 'learned sinks']`, of what is on. */
export function scoreWords({ softCap, learnedSinks }: ScoreOptions): readonly string[] {
  return [...(softCap > 0 ? [`soft cap ${softCap}`] : []), ...(learnedSinks ? ['learned sinks'] : [])];
}
