/**
 * The straight line `y = intercept + slope * x` with the smallest sum of squared *relative* errors.
 *
 * Times spread over three orders of magnitude. Plain least squares would fit the largest alone; with weights 1 / y^2 a point that is 5 % off
 * counts as much at 20 us as at 4 ms.
 */
export interface LinePoint {
  readonly x: number;
  /** Positive. */
  readonly y: number;
}

export interface RelativeLine {
  readonly slope: number;
  readonly intercept: number;
  /** The point that is farthest off, in percent of its y: positive when it lies above the line. */
  readonly worst: { readonly index: number; readonly percent: number; readonly off: number };
}

/** Undefined when the points do not make a line: fewer than three, or all of the same x. */
export function relativeLine(points: readonly LinePoint[]): RelativeLine | undefined {
  let [w, wx, wxx, wy, wxy] = [0, 0, 0, 0, 0];
  for (const { x, y } of points) {
    const weight = 1 / (y * y);
    w += weight;
    wx += weight * x;
    wxx += weight * x * x;
    wy += weight * y;
    wxy += weight * x * y;
  }
  const determinant = w * wxx - wx * wx;
  if (points.length < 3 || !(determinant > 1e-9 * w * wxx)) return undefined;
  const slope = (w * wxy - wx * wy) / determinant;
  const intercept = (wxx * wy - wx * wxy) / determinant;
  const residuals = points.map(({ x, y }, index) => {
    const off = y - (intercept + slope * x);
    return { index, percent: (100 * off) / y, off };
  });
  return { slope, intercept, worst: residuals.reduce((a, b) => (Math.abs(b.percent) > Math.abs(a.percent) ? b : a)) };
}
