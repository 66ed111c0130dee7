// Events that tests count. On a GPU they cost nothing.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// tile: a block of queries x keys was computed. page: a KV page was read by decode.
enum class Counter { tile, page };

/// Called by one thread for its block.
MOA_PRIMITIVE void count(Counter counter, uint32_t n = 1) {
    emulator::Counters& counters = emulator::engine().counters;
    (counter == Counter::tile ? counters.tiles : counters.pages) += n;
}

}  // namespace moa
