/**
 * Grids of launches as expressions. Packages carry them, and a host evaluates them: docs/package-format.md says what
 * the variables are.
 */
import { ceilDivide, min, multiply, variable, type Expression } from '../ir/affine.ts';
import type { KernelNode } from '../ir/nodes.ts';

const multiprocessors = variable('multiprocessors');
const items = variable('items');

/** Blocks for tasks on one multiprocessor: enough to fill a GPU, few enough that the last one's ticket comes soon. */
const taskBlocksPerSm = 16;

/** A block for each item of the work list. */
export const blockPerItem = (): Expression => items;

/** As many blocks as run at once, at most one for each item: they take items in turn. */
export const persistent = (blocksPerSm: number): Expression => min(items, multiply(multiprocessors, blocksPerSm));

/** The blocks of decode's plan: each has a run of segments. */
export const planned = (): Expression => variable('blocks');

/** Enough for a thread for each task, up to a number that fills the GPU; they loop over the rest. */
export function tasks({ threads }: Pick<KernelNode, 'threads'>, threadsOfToken: number): Expression {
  const enough = ceilDivide(multiply(variable('tokens'), threadsOfToken), threads);
  return min(enough, multiply(multiprocessors, taskBlocksPerSm));
}

/** So many blocks on each multiprocessor, which loop over what there is. */
export const looping = (blocksPerSm: number): Expression => multiply(multiprocessors, blocksPerSm);
