import { ranges } from '../../ir/print.ts';
import type { LayerTypes } from '../formats/readLayerTypes.ts';
import type { Place } from '../planSchema.ts';
import { offsetOf } from '../readFields.ts';
import type { Scope } from '../report.ts';

export interface AttendingLayers {
  /** Numbers in the model, rising. */
  readonly numbers: readonly number[];
  /** Of each, tokens or null. */
  readonly windows: readonly (number | null)[];
  /** What the others are; absent where there are none. */
  readonly leftOut?: ReadonlyMap<number, string>;
}

/** The layers of a model that have attention. A note names the others (MOA1335); a model without any is an error (MOA1308). */
export function attendingLayers({ slides, leftOut, window }: LayerTypes, scope: Scope, place: Place): AttendingLayers | undefined {
  const all = [...leftOut.keys()];
  const numbers = all.filter((layer) => leftOut[layer] === null);
  const windows = numbers.map((layer) => (slides[layer] === true ? window! : null));
  if (numbers.length === all.length) return { numbers, windows };
  const offset = offsetOf(scope, 'layer_types');
  if (numbers.length === 0) {
    scope.report.error('MOA1308', offset, place.path, 'no layer of the model has attention');
    return undefined;
  }
  const others = new Map(all.flatMap((layer): [number, string][] => (leftOut[layer] === null ? [] : [[layer, leftOut[layer]!]])));
  const message = `${others.size} of ${all.length} layers have no attention and are left out: ${leftOutText(others)}`;
  const help = `a plan has a row for each of the layers ${ranges(numbers)}, in this order; they keep their numbers in the package`;
  scope.report.note('MOA1335', offset, place.path, message, { help });
  return { numbers, windows, leftOut: others };
}

/** `0..2 4..6 (linear_attention), 7 (mlp)`. */
export function leftOutText(leftOut: ReadonlyMap<number, string>): string {
  const layersOf = (kind: string): number[] => [...leftOut.keys()].filter((layer) => leftOut.get(layer) === kind);
  return [...new Set(leftOut.values())].map((kind) => `${ranges(layersOf(kind))} (${kind})`).join(', ');
}
