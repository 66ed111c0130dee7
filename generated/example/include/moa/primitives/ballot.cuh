// Which lanes of a warp say yes, as a mask with a bit for each lane, and what is in a mask.
#pragma once
#include <cstdint>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// Bit n: whether `predicate` is true in lane n. All 32 lanes take part (PTX vote.sync.ballot).
MOA_DEVICE uint32_t warpBallot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }
/// How many bits are set (PTX popc).
MOA_DEVICE int countBits(uint32_t mask) { return __popc(mask); }
/// The number of the lowest bit that is set; `mask` has one.
MOA_DEVICE int lowestBit(uint32_t mask) { return __ffs(static_cast<int>(mask)) - 1; }

}  // namespace moa
