// The source of every choice the adversary makes (splitmix64): a pure function of the seed.
#pragma once
#include <moa/emulator/config.hpp>

namespace moa::emulator {

MOA_PRIMITIVE uint64_t mixBits(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

class MOA_HIDDEN Random {
public:
    explicit Random(uint64_t seed = 0) : state_(mixBits(seed + 0x9e3779b97f4a7c15u)) {}

    MOA_PRIMITIVE uint64_t next() { return mixBits(state_ += 0x9e3779b97f4a7c15u); }

    /// Uniform in [0, bound), 0 < bound.
    uint32_t below(uint32_t bound) { return static_cast<uint32_t>(((next() >> 32) * bound) >> 32); }

    /// Puts a random permutation of 0 .. count - 1 into `into`.
    template <class T>
    void permutation(T* into, uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) {
            const uint32_t j = below(i + 1);
            into[i] = into[j];
            into[j] = static_cast<T>(i);
        }
    }

private:
    uint64_t state_;
};

}  // namespace moa::emulator
