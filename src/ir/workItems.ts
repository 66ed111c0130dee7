/** Sizes of the records of plans: planners write them, kernels read them. */

/** 32-bit words of a `PrefillItem` (templates/include/moa/prefill/items.cuh). */
export const prefillItemWords = 12;

/** Bytes of a `PrefillPlanSize` (templates/include/moa/plan/prefillPlan.cuh). */
export const prefillSizeBytes = 24;

/** Bytes of a `PlannedSegment` (templates/include/moa/decode/segment.cuh). */
export const segmentBytes = 64;

/** Bytes of `PrefillPlanScratch` for a list of at most `items` items. */
export function prefillScratchBytes(slots: number, kvHeads: number, items: number): number {
  return Math.ceil((slots * 40 + slots * kvHeads * 48 + 12 + items * 24) / 16) * 16;
}
