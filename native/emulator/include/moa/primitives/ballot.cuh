// Which lanes of a warp say yes, as a mask with a bit for each lane, and what is in a mask.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// Bit n: whether `predicate` is true in lane n. All 32 lanes take part (PTX vote.sync.ballot).
MOA_PRIMITIVE uint32_t warpBallot(bool predicate, emulator::Site site = emulator::Site::current()) {
    return emulator::exchange(emulator::kVote, predicate ? 1u : 0u, 0, site);
}
/// How many bits are set (PTX popc).
MOA_PRIMITIVE int countBits(uint32_t mask) { return __builtin_popcount(mask); }
/// The number of the lowest bit that is set; `mask` has one.
MOA_PRIMITIVE int lowestBit(uint32_t mask) { return __builtin_ctz(mask); }

}  // namespace moa
