// Exchange among the 32 lanes of a warp (PTX shfl.sync, vote.sync).
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// The value of lane (own lane ^ mask) (PTX shfl.sync.bfly).
MOA_PRIMITIVE float shuffleXor(float value, int mask, emulator::Site site = emulator::Site::current()) {
    const uint32_t from = emulator::engine().running->lane ^ static_cast<uint32_t>(mask);
    return std::bit_cast<float>(emulator::exchange(emulator::kShuffle, std::bit_cast<uint32_t>(value), from, site));
}

MOA_PRIMITIVE uint32_t shuffleXor(uint32_t value, int mask, emulator::Site site = emulator::Site::current()) {
    return emulator::exchange(emulator::kShuffle, value, emulator::engine().running->lane ^ static_cast<uint32_t>(mask), site);
}

/// The value of lane `lane % 32`; T has 4 bytes (PTX shfl.sync.idx).
template <class T>
MOA_PRIMITIVE T shuffle(T value, int lane, emulator::Site site = emulator::Site::current()) {
    static_assert(sizeof(T) == 4);
    return std::bit_cast<T>(emulator::exchange(emulator::kShuffle, std::bit_cast<uint32_t>(value), static_cast<uint32_t>(lane), site));
}

/// True if it is true in any lane (PTX vote.sync.any).
MOA_PRIMITIVE bool warpAny(bool predicate, emulator::Site site = emulator::Site::current()) {
    return emulator::exchange(emulator::kVote, predicate ? 1u : 0u, 0, site) != 0;
}

/// True if it is true in every lane (PTX vote.sync.all).
MOA_PRIMITIVE bool warpAll(bool predicate, emulator::Site site = emulator::Site::current()) {
    return emulator::exchange(emulator::kVote, predicate ? 1u : 0u, 0, site) == ~0u;
}

}  // namespace moa
