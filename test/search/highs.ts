/** Linear programs by HiGHS, in this thread: what the solver's own bounds are held against. */
import { createRequire } from 'node:module';
import type highsPackage from 'highs';

// The package's types describe its CommonJS face.
const loadHighs = createRequire(import.meta.url)('highs') as unknown as typeof highsPackage.default;
const highs = await loadHighs();

/** `min cost x`, `x >= 0`, each row `lower <= sum of entries <= upper`. */
export class LinearProgram {
  readonly #cost: number[] = [];
  readonly #starts: number[] = [0];
  readonly #indices: number[] = [];
  readonly #values: number[] = [];
  readonly #lower: number[] = [];
  readonly #upper: number[] = [];

  row(lower: number, upper: number): number {
    this.#lower.push(lower === -Infinity ? -highs.infinity : lower);
    return this.#upper.push(upper) - 1;
  }

  column(cost: number, entries: readonly (readonly [row: number, amount: number])[]): void {
    this.#cost.push(cost);
    for (const [row, amount] of entries) {
      if (amount === 0) continue;
      this.#indices.push(row);
      this.#values.push(amount);
    }
    this.#starts.push(this.#indices.length);
  }

  /** The least cost; Infinity when the rows cannot hold. */
  solve(): number {
    const [columns, rows] = [this.#cost.length, this.#lower.length];
    using model = highs.createModel({
      numCols: columns,
      numRows: rows,
      colCost: Float64Array.from(this.#cost),
      colLower: new Float64Array(columns),
      colUpper: new Float64Array(columns).fill(highs.infinity),
      rowLower: Float64Array.from(this.#lower),
      rowUpper: Float64Array.from(this.#upper),
      matrix: { format: 'csc', numRows: rows, numCols: columns, starts: Int32Array.from(this.#starts), indices: Int32Array.from(this.#indices), values: Float64Array.from(this.#values) },
    });
    model.options.set({ output_flag: false, primal_feasibility_tolerance: 1e-10, dual_feasibility_tolerance: 1e-10 });
    model.run();
    const status = model.getModelStatus();
    if (status === highs.constants.modelStatus.infeasible) return Infinity;
    if (status !== highs.constants.modelStatus.optimal) throw new Error(`HiGHS ended with status ${status}`);
    return Number(model.info.get('objective_function_value'));
  }
}
