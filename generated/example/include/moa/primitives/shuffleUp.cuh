// Exchange with a lane that is so many places before in the warp: what a prefix sum needs.
#pragma once
#include <cstdint>
#include <moa/primitives/kernel.cuh>

namespace moa {

/// The value of lane (own lane - `places`), or where there is no such lane, the own value. T has 4 bytes.
template <class T>
MOA_DEVICE T shuffleUp(T value, int places) {
    static_assert(sizeof(T) == 4);
    return __shfl_up_sync(0xffffffffu, value, static_cast<unsigned>(places));
}

}  // namespace moa
