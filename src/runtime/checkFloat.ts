import { describeValue } from '../util/describeValue.ts';

/**
 * What is wrong with a number that becomes a float32 on the device and has to be positive there; undefined where nothing is. `factors`: what kernels multiply it by, which may
 * not be infinite or 0 either.
 */
export function positiveFloatProblem(value: unknown, factors: readonly number[] = []): string | undefined {
  if (typeof value !== 'number' || !(value > 0)) return `is ${describeValue(value)}; it must be a positive number`;
  if (value === Infinity) return 'is Infinity; it must be positive and finite';
  const single = Math.fround(value);
  if (single === Infinity) return `is ${value}, which is Infinity as a float32`;
  if (single === 0) return `is ${value}, which is 0 as a float32`;
  const far = factors.find((factor) => !isPositive(Math.fround(single * factor)) );
  return far === undefined ? undefined : `is ${value}, which is too ${single > 1 ? 'large' : 'small'} for what float32 arithmetic makes of it`;
}

const isPositive = (value: number): boolean => value > 0 && value < Infinity;
