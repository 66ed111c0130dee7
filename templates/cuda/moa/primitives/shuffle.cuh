// Exchange among the 32 lanes of a warp.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// The value of lane (own lane ^ mask).
MOA_DEVICE float shuffleXor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
MOA_DEVICE uint32_t shuffleXor(uint32_t value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }
/// The value of `lane`; T has 4 bytes.
template <class T>
MOA_DEVICE T shuffle(T value, int lane) {
    return __shfl_sync(0xffffffffu, value, lane);
}
MOA_DEVICE bool warpAny(bool predicate) { return __any_sync(0xffffffffu, predicate); }
MOA_DEVICE bool warpAll(bool predicate) { return __all_sync(0xffffffffu, predicate); }

}  // namespace moa
