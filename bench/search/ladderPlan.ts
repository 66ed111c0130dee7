/** A plan to measure with: layers for each span of a ladder, of one rule each, `alpha = span` and `beta = 0`. */

export interface LadderShape {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly elementType: 'bf16' | 'fp16';
}

const [page, shortestSpan] = [64, 128];
/** Of a plan (docs/plan-format.md). */
const mostLayers = 1024;

/** Powers of two from 128 on, halfway between them, up to the longest length, and each length; rising. */
export function ladderOf(lengths: readonly number[]): number[] {
  const wrong = lengths.find((length) => !Number.isInteger(length) || length < shortestSpan || length % page !== 0);
  if (lengths.length === 0 || wrong !== undefined) throw new Error(`lengths are multiples of ${page} from ${shortestSpan} on: ${lengths.join()}`);
  const longest = Math.max(...lengths);
  const spans = new Set(lengths);
  for (let span = shortestSpan; span <= longest; span *= 2) [span, 1.5 * span].filter((rung) => rung <= longest).forEach((rung) => spans.add(rung));
  return [...spans].sort((a, b) => a - b);
}

/**
 * The ladder as a plan in our own format, `copies` layers a span: a graph over them reads more than a GPU's cache keeps, and each launch may begin early, as behind
 * another layer of a model. At a length that is shorter than a layer's span the plan's own formula makes the layer dense.
 */
export function ladderPlan({ queryHeads, kvHeads, headDim, elementType }: LadderShape, lengths: readonly number[], copies: number): object {
  const spans = ladderOf(lengths);
  const layers = spans.length * copies;
  if (!(copies >= 1 && layers <= mostLayers)) throw new Error(`${spans.length} spans x ${copies} copies are ${layers} layers; a plan has 1 to ${mostLayers}`);
  const rows = (valueOf: (span: number) => number): number[][] =>
    spans.flatMap((span) => Array.from({ length: copies }, () => Array.from({ length: queryHeads }, () => valueOf(span))));
  return {
    format: 'moa-plan',
    version: 1,
    model: { name: 'latency-ladder', layers, queryHeads, kvHeads, headDim, elementType },
    alphas: rows((span) => span),
    betas: rows(() => 0),
  };
}
