import type { ModelRope } from '../../ir/rope.ts';
import { DiagnosticList, type Diagnostic } from '../../util/diagnostics.ts';
import type { LayerTypes } from '../formats/readLayerTypes.ts';
import { readRope } from '../readRope.ts';
import type { Scope } from '../report.ts';
import type { FoundType } from './modelTypeOf.ts';

export interface FoundRope {
  /** Of the layers with attention; null where the model has none, or where it is not known. */
  readonly rope: ModelRope | null;
  /** Why kernels cannot rotate as the model does. */
  readonly ropeProblems: readonly Diagnostic[];
}

/**
 * The model's RoPE. Values of a wrong type or range are errors of the config, which go to
 * `diagnostics`; that kernels cannot rotate so is one where they are to, which is not known here.
 * @param numbers of the layers that have attention
 */
export function ropeOf(
  scope: Scope,
  { name, listed }: FoundType,
  types: LayerTypes,
  numbers: readonly number[],
  headDim: number,
  diagnostics: DiagnosticList,
): FoundRope {
  const found = new DiagnosticList();
  const all = readRope(
    { ...scope, report: scope.report.to(found) },
    {
      layers: types.slides.length,
      headDim,
      modelType: listed ? name : undefined,
      layerTypes: types.slides.map((slides) => (slides ? 'sliding_attention' : 'full_attention')),
    },
  );
  const isOfValue = ({ code }: Diagnostic): boolean => code === 'MOA1104' || code === 'MOA1106';
  found.toArray().filter(isOfValue).forEach((diagnostic) => diagnostics.add(diagnostic));
  const ropeProblems = found.toArray().filter((diagnostic) => !isOfValue(diagnostic));
  return { rope: all ? ofLayers(all, numbers) : null, ropeProblems };
}

/** Of the layers `numbers`, with the rotations that they use. Null where none of them rotates. */
function ofLayers({ ropes, layers }: ModelRope, numbers: readonly number[]): ModelRope | null {
  const kept = numbers.map((number) => layers[number]!);
  const used = ropes.map((_, index) => index).filter((index) => kept.includes(index));
  if (used.length === 0) return null;
  return {
    ropes: used.map((index) => ropes[index]!),
    layers: kept.map((index) => (index === null ? null : used.indexOf(index))),
  };
}
