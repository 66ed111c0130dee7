import type { LayerDefinition, PlanDefinition } from './planDefinition.ts';

/** Layers of a plan by what they need: those of a class have equal windows, rings and sinks at every length bound. */
export interface LayerClasses {
  /** A definition of each class, in the order of first use. */
  readonly definitions: readonly LayerDefinition[];
  /** The class of each layer of the plan. */
  readonly ofLayer: readonly number[];
}

/** The classes of a plan's layers: equal definitions are of one. */
export function layerClasses({ layers }: Pick<PlanDefinition, 'layers'>): LayerClasses {
  const known = new Map<string, number>();
  const definitions: LayerDefinition[] = [];
  const ofLayer = layers.map((layer) => {
    const key = JSON.stringify(layer);
    let found = known.get(key);
    if (found === undefined) {
      known.set(key, (found = definitions.length));
      definitions.push(layer);
    }
    return found;
  });
  return { definitions, ofLayer };
}
