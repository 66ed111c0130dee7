// Events the emulator counts. On a GPU they cost nothing.
#pragma once
#include <cstdint>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// tile: a block of queries x keys was computed. page: a KV page was read by decode.
enum class Counter { tile, page };

/// Called by one thread for its block.
MOA_DEVICE void count(Counter, uint32_t = 1) {}

}  // namespace moa
