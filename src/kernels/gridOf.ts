import type { KernelDefinition } from '../ir/planDefinition.ts';
import { assertNever } from '../util/invariant.ts';
import { variantOf } from './variants.ts';

/** Blocks for tasks on one multiprocessor: enough to fill a GPU, few enough that the last one's ticket comes soon. */
const taskBlocksPerSm = 16;

/**
 * Blocks of a launch.
 * @param work items, runs of segments or pages; of tasks the blocks that have a thread for each
 */
export function gridOf(
  kernel: Pick<KernelDefinition, 'role' | 'variant' | 'blocksPerSm'>,
  work: number,
  multiprocessors: number,
): number {
  const { grid } = variantOf(kernel);
  switch (grid) {
    case 'blockPerItem':
      return work;
    case 'persistent':
      return Math.min(work, kernel.blocksPerSm * multiprocessors);
    case 'tasks':
      return Math.min(work, taskBlocksPerSm * multiprocessors);
    default:
      return assertNever(grid);
  }
}
