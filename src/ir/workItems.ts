/** Sizes of the records of work lists: schedules write them, kernels read them. */

/** 32-bit words of a `PrefillItem` (templates/include/moa/prefill/items.cuh). */
export const prefillItemWords = 12;

/** 32-bit words of a `DecodeSegment` (templates/include/moa/decode/segment.cuh). */
export const decodeSegmentWords = 12;
