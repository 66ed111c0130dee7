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
import type { PassContext } from './pass.ts';
import { invariant } from '../util/invariant.ts';

/** Below two pages a block costs more to merge than it reads. */
const minPages = 2;

/**
 * Bytes that a block reads in the time of a segment's beginning and end: measured on an H200, 3 us at 34 bytes a nanosecond and SM
 * (docs/kernels/decode.md).
 */
const segmentBytes = 96 * 1024;

export function schedule(module: KernelModule, { ablations }: Pick<PassContext, 'ablations'>): ScheduledModule {
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
    decode: { kind: 'decodeSchedule', minPages, segmentPages: Math.round(segmentBytes / module.layout.pageBytes), balanced: !ablations.includes('unspecialised') },
  };
}
