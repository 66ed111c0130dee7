/** The worker in which HiGHS runs: its solves are synchronous, and one that aborts leaves memory that must not be read, so a worker solves one program and ends. */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type highsPackage from 'highs';
import type { IntegerProgram } from './integerProgram.ts';

export interface HighsTask {
  readonly program: IntegerProgram;
  readonly relativeGap: number;
  readonly maxNodes: number;
}

export interface HighsAnswer {
  readonly status: 'optimal' | 'infeasible' | 'limit';
  /** Values of the columns; absent when no solution was found. */
  readonly solution?: Float64Array;
  /** No solution has a smaller objective. */
  readonly bound: number;
  readonly nodes: number;
}

// The package's types describe its CommonJS face.
const loadHighs = createRequire(import.meta.url)('highs') as unknown as typeof highsPackage.default;
const { program, relativeGap, maxNodes } = workerData as HighsTask;
const highs = await loadHighs();
using model = highs.createModel({
  numCols: program.columns,
  numRows: program.rows,
  offset: program.offset,
  colCost: program.cost,
  colLower: new Float64Array(program.columns),
  colUpper: new Float64Array(program.columns).fill(1),
  rowLower: program.rowLower.map((bound) => (bound === -Infinity ? -highs.infinity : bound)),
  rowUpper: program.rowUpper,
  integrality: new Int32Array(program.columns).fill(highs.constants.variableType.integer),
  matrix: { format: 'csc', numRows: program.rows, numCols: program.columns, starts: program.starts, indices: program.indices, values: program.values },
});
model.options.set({ output_flag: false, random_seed: 1, mip_rel_gap: relativeGap, mip_abs_gap: 0, mip_max_nodes: maxNodes, mip_feasibility_tolerance: 1e-9, primal_feasibility_tolerance: 1e-9 });
model.run();

const { modelStatus } = highs.constants;
const status = model.getModelStatus();
const found = Number(model.info.get('primal_solution_status')) === 2;
const answer: HighsAnswer = {
  status: status === modelStatus.optimal ? 'optimal' : status === modelStatus.infeasible ? 'infeasible' : 'limit',
  ...(found ? { solution: Float64Array.from(model.getSolution().colValue) } : {}),
  bound: Number(model.info.get('mip_dual_bound')),
  nodes: Number(model.info.get('mip_node_count')),
};
parentPort!.postMessage(answer);
