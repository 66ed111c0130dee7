// Exchange with a lane that is so many places before in the warp: what a prefix sum needs (PTX shfl.sync.up).
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// The value of lane (own lane - `places`), or where there is no such lane, the own value. T has 4 bytes.
template <class T>
MOA_PRIMITIVE T shuffleUp(T value, int places, emulator::Site site = emulator::Site::current()) {
    static_assert(sizeof(T) == 4);
    const uint32_t lane = emulator::engine().running->lane, by = static_cast<uint32_t>(places);
    const uint32_t from = lane < by ? lane : lane - by;
    return std::bit_cast<T>(emulator::exchange(emulator::kShuffle, std::bit_cast<uint32_t>(value), from, site));
}

}  // namespace moa
