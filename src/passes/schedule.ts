/**
 * Says how work is cut into static lists when a session's batch is known: `schedule/prefillItems.ts` and
 * `schedule/decodeSegments.ts` are the code, this pass gives them their constants.
 *
 *     kernels prefill (128 x 64), decode
 *   becomes
 *     the same, and: prefill items of 128 rows, costed in tiles of 64 keys; decode blocks of at least 2 pages
 *
 * Invariant: all prefill kernels of the module agree on rows and columns with the schedule.
 */
import type { KernelModule, PrefillKernel, ScheduledModule } from '../ir/nodes.ts';
import { invariant } from '../util/invariant.ts';

/** Below two pages a block costs more to merge than it reads. */
const minPages = 2;

export function schedule(module: KernelModule): ScheduledModule {
  const prefill = module.kernels.filter((kernel): kernel is PrefillKernel => kernel.role === 'prefill');
  const first = prefill[0];
  invariant(first !== undefined, 'there is a prefill kernel');
  invariant(
    prefill.every((kernel) => kernel.rows === first.rows && kernel.columns === first.columns),
    'prefill kernels share one tile shape',
  );
  return {
    ...module,
    kind: 'scheduledModule',
    prefill: { kind: 'prefillSchedule', rows: first.rows, columns: first.columns },
    decode: { kind: 'decodeSchedule', minPages },
  };
}
