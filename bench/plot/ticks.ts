/** Where an axis has its marks. The first and last are the ends of the axis: all values lie between them. */
export type Scale = 'linear' | 'log2' | 'log10';

/** Rising. Linear axes begin at 0; those of powers of 2 have each power, those of powers of 10 also 2 and 5 times each. */
export function ticksOf(scale: Scale, values: readonly number[]): number[] {
  const used = values.filter((value) => Number.isFinite(value) && (scale === 'linear' || value > 0));
  if (used.length === 0) return scale === 'linear' ? [0, 1] : [1, 2];
  const [low, high] = [Math.min(...used), Math.max(...used)];
  if (scale === 'linear') return linearTicks(high);
  const steps = scale === 'log2' ? powersOfTwo(low, high) : decades(low, high);
  const first = steps.findLastIndex((step) => step <= low * (1 + 1e-9));
  const last = steps.findIndex((step) => step >= high * (1 - 1e-9));
  return steps.slice(first, Math.max(last, first + 1) + 1);
}

/** Where `value` lies between the first tick and the last, from 0 to 1. */
export function positionOf(scale: Scale, ticks: readonly number[], value: number): number {
  const map = scale === 'linear' ? (x: number) => x : Math.log2;
  const [low, high] = [map(ticks[0]!), map(ticks.at(-1)!)];
  return (map(value) - low) / (high - low);
}

/** From 0 to above `high`, in four to nine steps of 1, 2 or 5 times a power of 10. */
function linearTicks(high: number): number[] {
  if (high <= 0) return [0, 1];
  const power = Math.floor(Math.log10(high)) - 1;
  const sizes = [1, 2, 5, 10, 20].map((factor) => (power < 0 ? factor / 10 ** -power : factor * 10 ** power));
  const step = sizes.find((size) => high / size <= 8)!;
  const count = Math.ceil(high / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, n) => Number((n * step).toPrecision(12)));
}

function powersOfTwo(low: number, high: number): number[] {
  const first = Math.floor(Math.log2(low)) - 1;
  const count = Math.ceil(Math.log2(high)) + 2 - first;
  return Array.from({ length: count }, (_, n) => 2 ** (first + n));
}

function decades(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low)) - 1;
  const count = Math.ceil(Math.log10(high)) + 2 - first;
  return Array.from({ length: count }, (_, n) => first + n).flatMap((power) => [1, 2, 5].map((factor) => Number(`${factor}e${power}`)));
}
