/** The value that a share of `values` lies below, from 0 to 1, without interpolation. Does not change `values`. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error('no values');
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))]!;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** `value` with `digits` significant digits: enough to read, few enough to keep a committed file small. */
export const significant = (value: number, digits = 5): number => Number(value.toPrecision(digits));
