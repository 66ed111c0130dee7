/**
 * The outer problem as a linear program over columns: a column is one choice for one layer. Its dual gives prices of the resources, and its solution
 * says which columns to combine. Revised simplex with an explicit inverse: there are only `layers + resources` rows.
 *
 *     min  sum c x + sum penalty z      sum of a layer's x = 1,    sum use x + s - z = limit of each resource,    x, s, z >= 0
 */
import { invariant } from '../../util/invariant.ts';
import { layerTotals, type Problem, type Resource } from './problem.ts';

/** A choice for a layer. */
export interface Column {
  readonly layer: number;
  readonly choice: Uint16Array;
  readonly value: number;
  readonly use: Float64Array;
}

export interface MasterSolution {
  readonly value: number;
  /** Prices of the resources, at least 0. */
  readonly multipliers: Float64Array;
  /** Columns in use with their parts, largest part of a layer first. */
  readonly parts: readonly { readonly column: Column; readonly part: number }[];
  /** How much of the resources is used beyond the limits, in the program's scale: 0 unless the columns cannot hold them. */
  readonly excess: number;
}

const TOLERANCE = 1e-10;

export class MasterProgram {
  readonly #problem: Problem;
  readonly #rows: number;
  /** The rows of resources are divided by this. */
  readonly #scale: Float64Array;
  /** Of a unit of excess; raised until no excess is left, or it is sure that some has to be. */
  #penalty: number;
  readonly #unit: number;
  readonly #columns: Column[] = [];
  readonly #known: Set<string>[];
  /** Index of the basic variable of each row: a column, or `-1 - k` a slack, `-1 - K - k` an excess. */
  readonly #basis: Int32Array;
  readonly #isBasic = new Set<number>();
  #inverse: Float64Array;
  #solution: Float64Array;
  #pivots = 0;

  /** @param start one choice for each layer */
  constructor(problem: Problem, start: readonly Uint16Array[]) {
    this.#problem = problem;
    const { layers, resources } = problem;
    this.#rows = layers + resources.length;
    this.#scale = Float64Array.from(resources, (resource) => scaleOf(problem, resource));
    this.#known = Array.from({ length: layers }, () => new Set());
    this.#basis = new Int32Array(this.#rows);
    this.#inverse = new Float64Array(this.#rows * this.#rows);
    this.#solution = new Float64Array(this.#rows);
    for (let layer = 0; layer < layers; layer += 1) {
      this.add(layer, start[layer]!);
      this.#basis[layer] = layer;
    }
    // The size of values: what all heads lose on the average.
    this.#unit = problem.value.reduce((sum, value) => sum + value, 0) / problem.candidates + 1e-300;
    this.#penalty = 10 * this.#unit;
    resources.forEach((_, k) => {
      const used = this.#columns.reduce((sum, column) => sum + column.use[k]!, 0);
      this.#basis[layers + k] = used <= resources[k]!.limit ? -1 - k : -1 - resources.length - k;
    });
    for (const index of this.#basis) this.#isBasic.add(index);
    this.#factorise();
  }

  get columns(): readonly Column[] {
    return this.#columns;
  }

  /** Adds a choice for a layer; returns whether it was new. */
  add(layer: number, choice: Uint16Array): boolean {
    const key = choice.join();
    if (this.#known[layer]!.has(key)) return false;
    this.#known[layer]!.add(key);
    this.#columns.push({ layer, choice, ...layerTotals(this.#problem, layer, choice) });
    return true;
  }

  /** Makes excess dearer. */
  raisePenalty(): void {
    this.#penalty *= 30;
  }

  solve(): MasterSolution {
    const { layers, resources } = this.#problem;
    const limit = 50 * (this.#rows + 20);
    for (let step = 0; ; step += 1) {
      const duals = this.#duals();
      // Bland's rule ends the circles that degenerate vertices allow.
      const entering = this.#entering(duals, step > limit / 2);
      if (entering === undefined || step > limit) return this.#result(duals, layers, resources.length);
      this.#pivot(entering);
    }
  }

  #result(duals: Float64Array, layers: number, resources: number): MasterSolution {
    const parts: { column: Column; part: number }[] = [];
    let value = 0;
    let excess = 0;
    for (let row = 0; row < this.#rows; row += 1) {
      const index = this.#basis[row]!;
      const amount = Math.max(0, this.#solution[row]!);
      value += amount * this.#costOf(index);
      if (index >= 0 && amount > TOLERANCE) parts.push({ column: this.#columns[index]!, part: amount });
      if (index < -resources) excess += amount;
    }
    parts.sort((a, b) => a.column.layer - b.column.layer || b.part - a.part);
    const multipliers = new Float64Array(resources);
    // The row's dual is at most 0 for an upper limit; prices are per unit of the resource.
    for (let k = 0; k < resources; k += 1) multipliers[k] = Math.max(0, -duals[layers + k]! / this.#scale[k]!);
    return { value, multipliers, parts, excess };
  }

  #costOf(index: number): number {
    if (index >= 0) return this.#columns[index]!.value;
    return index < -this.#problem.resources.length ? this.#penalty : 0;
  }

  /** The column of the matrix that belongs to a variable. */
  #matrixColumn(index: number, into: Float64Array): Float64Array {
    const { layers, resources } = this.#problem;
    into.fill(0);
    if (index >= 0) {
      const { layer, use } = this.#columns[index]!;
      into[layer] = 1;
      use.forEach((amount, k) => (into[layers + k] = amount / this.#scale[k]!));
    } else if (index >= -resources.length) {
      into[layers - 1 - index] = 1;
    } else {
      into[layers - 1 - index - resources.length] = -1;
    }
    return into;
  }

  #duals(): Float64Array {
    const duals = new Float64Array(this.#rows);
    for (let row = 0; row < this.#rows; row += 1) {
      const cost = this.#costOf(this.#basis[row]!);
      if (cost === 0) continue;
      const start = row * this.#rows;
      for (let i = 0; i < this.#rows; i += 1) duals[i]! += cost * this.#inverse[start + i]!;
    }
    return duals;
  }

  #entering(duals: Float64Array, first: boolean): number | undefined {
    const { layers, resources } = this.#problem;
    let best: number | undefined;
    let least = -TOLERANCE * this.#unit;
    const consider = (index: number, reduced: number): boolean => {
      if (reduced >= least || this.#isBasic.has(index)) return false;
      best = index;
      if (!first) least = reduced;
      return first;
    };
    for (let k = 0; k < resources.length; k += 1) {
      if (consider(-1 - k, -duals[layers + k]!)) return best;
      if (consider(-1 - resources.length - k, this.#penalty + duals[layers + k]!)) return best;
    }
    for (let index = 0; index < this.#columns.length; index += 1) {
      const { layer, value, use } = this.#columns[index]!;
      let reduced = value - duals[layer]!;
      for (let k = 0; k < use.length; k += 1) reduced -= (duals[layers + k]! * use[k]!) / this.#scale[k]!;
      if (consider(index, reduced)) return best;
    }
    return best;
  }

  #pivot(entering: number): void {
    const rows = this.#rows;
    const column = this.#matrixColumn(entering, new Float64Array(rows));
    const direction = new Float64Array(rows);
    for (let row = 0; row < rows; row += 1) {
      let sum = 0;
      const start = row * rows;
      for (let i = 0; i < rows; i += 1) sum += this.#inverse[start + i]! * column[i]!;
      direction[row] = sum;
    }
    let leaving = -1;
    let ratio = Infinity;
    for (let row = 0; row < rows; row += 1) {
      if (direction[row]! <= 1e-9) continue;
      const candidate = Math.max(0, this.#solution[row]!) / direction[row]!;
      if (candidate < ratio - 1e-12 || (candidate <= ratio + 1e-12 && leaving >= 0 && direction[row]! > direction[leaving]!)) {
        ratio = Math.min(ratio, candidate);
        leaving = row;
      }
    }
    invariant(leaving >= 0, 'the master program is bounded: parts of columns sum to one, and costs are not negative');
    const pivot = direction[leaving]!;
    const pivotStart = leaving * rows;
    for (let i = 0; i < rows; i += 1) this.#inverse[pivotStart + i]! /= pivot;
    for (let row = 0; row < rows; row += 1) {
      const factor = direction[row]!;
      if (row === leaving || factor === 0) continue;
      const start = row * rows;
      for (let i = 0; i < rows; i += 1) this.#inverse[start + i]! -= factor * this.#inverse[pivotStart + i]!;
      this.#solution[row]! -= factor * ratio;
    }
    this.#solution[leaving] = ratio;
    this.#isBasic.delete(this.#basis[leaving]!);
    this.#isBasic.add(entering);
    this.#basis[leaving] = entering;
    this.#pivots += 1;
    if (this.#pivots % 100 === 0) this.#factorise();
  }

  /** The inverse of the basis from nothing (Gauss and Jordan), since updates add up their rounding. */
  #factorise(): void {
    const rows = this.#rows;
    const matrix = new Float64Array(rows * rows);
    const room = new Float64Array(rows);
    for (let column = 0; column < rows; column += 1) {
      this.#matrixColumn(this.#basis[column]!, room);
      for (let row = 0; row < rows; row += 1) matrix[row * rows + column] = room[row]!;
    }
    this.#inverse = invert(matrix, rows);
    const { layers, resources } = this.#problem;
    const right = Float64Array.from({ length: rows }, (_, row) => (row < layers ? 1 : resources[row - layers]!.limit / this.#scale[row - layers]!));
    this.#solution = new Float64Array(rows);
    for (let row = 0; row < rows; row += 1) {
      for (let i = 0; i < rows; i += 1) this.#solution[row]! += this.#inverse[row * rows + i]! * right[i]!;
    }
  }
}

/** The limit; of a limit of (nearly) 0, a small part of what all heads use on the average, so that the program's numbers stay near 1. */
function scaleOf({ layers, heads }: Problem, { limit, cost }: Resource): number {
  const average = (cost.reduce((sum, one) => sum + one, 0) / cost.length) * layers * heads;
  return Math.max(Math.abs(limit), 1e-4 * average, 1e-300);
}

/** The inverse of a regular matrix, by rows; `matrix` is used up. */
function invert(matrix: Float64Array, size: number): Float64Array {
  const inverse = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) inverse[i * size + i] = 1;
  for (let column = 0; column < size; column += 1) {
    let pivotRow = column;
    for (let row = column + 1; row < size; row += 1) if (Math.abs(matrix[row * size + column]!) > Math.abs(matrix[pivotRow * size + column]!)) pivotRow = row;
    const pivot = matrix[pivotRow * size + column]!;
    invariant(Math.abs(pivot) > 1e-14, 'the basis of the master program is regular');
    for (const target of [matrix, inverse]) {
      for (let i = 0; i < size; i += 1) {
        const moved = target[pivotRow * size + i]! / pivot;
        target[pivotRow * size + i] = target[column * size + i]!;
        target[column * size + i] = moved;
      }
    }
    for (let row = 0; row < size; row += 1) {
      const factor = matrix[row * size + column]!;
      if (row === column || factor === 0) continue;
      for (let i = 0; i < size; i += 1) {
        matrix[row * size + i]! -= factor * matrix[column * size + i]!;
        inverse[row * size + i]! -= factor * inverse[column * size + i]!;
      }
    }
  }
  return inverse;
}
