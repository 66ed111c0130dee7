/** The numbers that the layers of a plan have in their model: in a model of which not all layers have attention they have gaps. */
import type { ModelShape } from './nodes.ts';

/** Of each layer of the plan, rising. */
export const layerNumbers = ({ layers, layerNumbers: numbers }: Pick<ModelShape, 'layers' | 'layerNumbers'>): readonly number[] =>
  numbers ?? Array.from({ length: layers }, (_, layer) => layer);

/** All numbers are less. */
export const layerNumberBound = (shape: Pick<ModelShape, 'layers' | 'layerNumbers'>): number => layerNumbers(shape).at(-1)! + 1;
