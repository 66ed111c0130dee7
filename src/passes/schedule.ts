/**
 * Gives the kernels that plan on the device (`kernels/planners.ts`) their constants.
 *
 *     kernels prefill (128 rows), decode
 *   becomes
 *     the same, and: prefill items in sections of 0.6 of the L2 cache, costed in pages of keys, cut in two when they have over 48 pages and half of
 *     what a block has to do for a sequence; decode blocks of at least 2 pages
 *
 * Invariant: none beyond those before; rows of an item are the kernels' own.
 */
import type { KernelModule, ScheduledModule } from '../ir/nodes.ts';
import type { PassContext } from './pass.ts';

/** Below two pages a block costs more to merge than it reads; and each group of warps has one. */
const minPages = ({ kernels }: KernelModule): number =>
  Math.max(2, ...kernels.map((kernel) => (kernel.role === 'decode' ? kernel.groups : 0)));

/**
 * Bytes that a block reads in the time of a segment's beginning and end: measured on an H200, 3 us at 34 bytes a nanosecond and SM
 * (docs/kernels/decode.md).
 */
const segmentBytes = 96 * 1024;

/**
 * Keys and values of the heads that are worked on at once, as a part of the L2 cache: the rest is for queries, outputs, and pages that are on their
 * way out (FlashAttention-3 takes 32 MB of 50).
 */
const cacheShare = 0.6;

/**
 * When an item of prefill is cut in two by its keys: where it is this part of what a block has to do for its sequence, so that its length shows at the
 * end, and long enough to pay for another beginning, end and partial result (docs/kernels/prefill.md).
 */
const splitShare = [1, 2] as const;
const splitPages = 48;

export function schedule(module: KernelModule, { ablations }: Pick<PassContext, 'ablations'>): ScheduledModule {
  return {
    ...module,
    kind: 'scheduledModule',
    prefill: { kind: 'prefillSchedule', cacheShare, splitPages, splitShare, byCost: !ablations.includes('unspecialised') },
    decode: { kind: 'decodeSchedule', minPages: minPages(module), segmentPages: Math.round(segmentBytes / module.layout.pageBytes) },
  };
}
