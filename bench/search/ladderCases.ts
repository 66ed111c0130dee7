import type { PlanDefinition } from 'moa-compile/runtime';

export interface SpanCase {
  /** N. */
  readonly length: number;
  readonly span: number;
  /** Layers with that span at N: as many of them as are needed are measured. */
  readonly layers: readonly number[];
}

/** The spans that the package has at a length, rising to the length itself. */
export function ladderCases(definition: PlanDefinition, length: number): SpanCase[] {
  const layersOf = new Map<number, number[]>();
  definition.layers.forEach(({ heads }, layer) => {
    const { alpha, numerator } = definition.rules[heads[0]!]!;
    if (numerator !== 0 || heads.some((rule) => rule !== heads[0])) throw new Error(`layer ${layer} is not of a ladder: see bench/search/latencyPlan.ts`);
    const layers = layersOf.get(alpha);
    if (layers === undefined) layersOf.set(alpha, [layer]);
    else layers.push(layer);
  });
  const spans = [...layersOf.keys()].sort((a, b) => a - b);
  const dense = spans.find((span) => span >= length);
  if (dense === undefined) throw new Error(`the ladder ends at ${spans.at(-1)}, before ${length}`);
  return [...spans.filter((span) => span < length), dense].map((span) => ({ length, span: Math.min(span, length), layers: layersOf.get(span)! }));
}
