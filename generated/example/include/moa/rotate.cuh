// RoPE (arXiv 2104.09864): the first kRotaryDim elements of a head turn in pairs, by angles that
// grow with the position.
//
//   halves      : element i with element i + kRotaryDim / 2 (GPT-NeoX, Llama)
//   interleaved : element 2i with element 2i + 1 (GPT-J)
//
// Position p is coarse * block + fine, with a block of 1 << shift positions. Both tables hold cos
// and sin of every pair, interleaved; one of them times the attention factor. Their angles add up
// to p times the frequency; what is rotated by is that product rounded to binary32, as Hugging Face
// transformers does. The table of one rotation:
//
//   frequencies [pairs], fine [block][pairs][2], coarse [blocks][pairs][2]
#pragma once
#include <moa/primitives/math.cuh>
#include <moa/primitives/memory.cuh>
#include <moa/primitives/shuffle.cuh>
#include <moa/primitives/thread.cuh>

#include <type_traits>

namespace moa {

/// The angles of one position. Its roundings are fixed, so that every kernel turns a token to the
/// same bits.
template <class Config>
class Rotation {
    using Element = typename Config::Element;
    static constexpr int kHeadChunks = Config::kHeadDim / 8;
    static constexpr int kRotaryChunks = Config::kRotaryDim / 8;  ///< of 8 elements, that turn
    static constexpr int kPairs = Config::kRotaryDim / 2;
    static_assert(Config::kRotaryDim % 16 == 0 && Config::kRotaryDim <= Config::kHeadDim,
                  "chunks turn as a whole");

public:
    template <class Params>
    MOA_DEVICE Rotation(const Params& p, int position)
        : frequencies_(p.rope),
          fine_(p.rope + kPairs + (position & ((1 << p.ropeShift) - 1)) * 2 * kPairs),
          coarse_(p.rope + kPairs + (static_cast<int64_t>(2 * kPairs) << p.ropeShift) +
                  static_cast<int64_t>(position >> p.ropeShift) * 2 * kPairs),
          position_(static_cast<float>(position)) {}

    /// Which chunks of a row thread `thread` of kHeadDim / 16 holds: each one that turns beside its
    /// partner.
    static MOA_DEVICE constexpr int lowChunk(int thread) {
        if (Config::kInterleaved || thread < kRotaryChunks / 2) return thread;
        return thread + kRotaryChunks / 2;
    }
    static MOA_DEVICE constexpr int highChunk(int thread) {
        if (Config::kInterleaved) return thread + kHeadChunks / 2;
        const bool turns = thread < kRotaryChunks / 2;
        return lowChunk(thread) + (turns ? kRotaryChunks : kHeadChunks - kRotaryChunks) / 2;
    }

    /// Rotates those chunks.
    MOA_DEVICE void rotate(Vec16& low, Vec16& high, int thread) const {
        if constexpr (Config::kInterleaved) {
            rotateNeighbours(low, thread);
            rotateNeighbours(high, thread + kHeadChunks / 2);
        } else if (kRotaryChunks == kHeadChunks || thread < kRotaryChunks / 2) {
            rotateHalves(low, high, thread);
        }
    }

    /// The chunk whose elements turn with those of `chunk`; itself where it does not turn, or turns
    /// in itself.
    static MOA_DEVICE constexpr int partner(int chunk) {
        if (Config::kInterleaved || chunk >= kRotaryChunks) return chunk;
        return chunk < kRotaryChunks / 2 ? chunk + kRotaryChunks / 2 : chunk - kRotaryChunks / 2;
    }

    /// Rotates chunk `chunk` of `kRows` rows; `partners` are theirs, and are spent.
    template <int kRows>
    MOA_DEVICE void rotateOwn(Vec16 (&own)[kRows], Vec16 (&partners)[kRows], int chunk) const {
        if (chunk >= kRotaryChunks) return;
        const bool isLow = chunk < kRotaryChunks / 2;
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            const int pair = (isLow ? chunk : chunk - kRotaryChunks / 2) * 8 + 2 * word;
            const Vec16 turns = Config::kInterleaved ? Vec16{} : angles(pair);
            const Vec8 turn = Config::kInterleaved ? angle(chunk * 4 + word) : Vec8{};
#pragma unroll
            for (int row = 0; row < kRows; ++row) {
                if constexpr (Config::kInterleaved) {
                    rotatePair(own[row].w[word], turn);
                } else {
                    uint32_t low = isLow ? own[row].w[word] : partners[row].w[word];
                    uint32_t high = isLow ? partners[row].w[word] : own[row].w[word];
                    rotatePairs(low, high, turns);
                    own[row].w[word] = isLow ? low : high;
                }
            }
        }
    }

    /// cos, sin, cos, sin of the pairs `pair`, which is even, and `pair` + 1.
    MOA_DEVICE Vec16 angles(int pair) const {
        const Vec8 frequency = loadGlobal(reinterpret_cast<const Vec8*>(frequencies_ + pair));
        const Vec16 fine = loadGlobal(reinterpret_cast<const Vec16*>(fine_ + 2 * pair));
        const Vec16 coarse = loadGlobal(reinterpret_cast<const Vec16*>(coarse_ + 2 * pair));
        const Vec8 first = combine(coarse.w[0], coarse.w[1], fine.w[0], fine.w[1], frequency.w[0]);
        const Vec8 second = combine(coarse.w[2], coarse.w[3], fine.w[2], fine.w[3], frequency.w[1]);
        return {{first.w[0], first.w[1], second.w[0], second.w[1]}};
    }

    /// cos and sin of one pair.
    MOA_DEVICE Vec8 angle(int pair) const {
        const uint32_t frequency = floatBits(loadGlobal(frequencies_ + pair));
        const Vec8 fine = loadGlobal(reinterpret_cast<const Vec8*>(fine_ + 2 * pair));
        const Vec8 coarse = loadGlobal(reinterpret_cast<const Vec8*>(coarse_ + 2 * pair));
        return combine(coarse.w[0], coarse.w[1], fine.w[0], fine.w[1], frequency);
    }

    /// Two neighbouring pairs in halves: `low` holds elements i and i + 1, `high` their partners.
    static MOA_DEVICE void rotatePairs(uint32_t& low, uint32_t& high, const Vec16& turns) {
        const float x0 = unpackLow<Element>(low);
        const float x1 = unpackHigh<Element>(low);
        const float y0 = unpackLow<Element>(high);
        const float y1 = unpackHigh<Element>(high);
        const float cos0 = bitsToFloat(turns.w[0]);
        const float sin0 = bitsToFloat(turns.w[1]);
        const float cos1 = bitsToFloat(turns.w[2]);
        const float sin1 = bitsToFloat(turns.w[3]);
        low = packPair<Element>(multiplyAdd(x0, cos0, -multiply(y0, sin0)),
                                multiplyAdd(x1, cos1, -multiply(y1, sin1)));
        high = packPair<Element>(multiplyAdd(y0, cos0, multiply(x0, sin0)),
                                 multiplyAdd(y1, cos1, multiply(x1, sin1)));
    }

    /// A pair of neighbours.
    static MOA_DEVICE void rotatePair(uint32_t& pair, const Vec8& turn) {
        const float x = unpackLow<Element>(pair);
        const float y = unpackHigh<Element>(pair);
        const float cosine = bitsToFloat(turn.w[0]);
        const float sine = bitsToFloat(turn.w[1]);
        pair = packPair<Element>(multiplyAdd(x, cosine, -multiply(y, sine)),
                                 multiplyAdd(y, cosine, multiply(x, sine)));
    }

private:
    MOA_DEVICE void rotateHalves(Vec16& low, Vec16& high, int chunk) const {
#pragma unroll
        for (int word = 0; word < 4; ++word) {
            rotatePairs(low.w[word], high.w[word], angles(chunk * 8 + 2 * word));
        }
    }

    MOA_DEVICE void rotateNeighbours(Vec16& row, int chunk) const {
        if (chunk >= kRotaryChunks) return;
#pragma unroll
        for (int word = 0; word < 4; word += 2) {
            const Vec16 turns = angles(chunk * 4 + word);
            rotatePair(row.w[word], {{turns.w[0], turns.w[1]}});
            rotatePair(row.w[word + 1], {{turns.w[2], turns.w[3]}});
        }
    }

    /// cos and sin of r = position * frequency, rounded. The tables give those of the exact product
    /// t = r + e; e is small, so that cos e = 1 - e^2 / 2 and sin e = e - e^3 / 6 are exact to
    /// binary32 (src/runtime/ropeTables.ts says up to where).
    MOA_DEVICE Vec8 combine(uint32_t coarseCos, uint32_t coarseSin, uint32_t fineCos,
                            uint32_t fineSin, uint32_t frequencyBits) const {
        const float frequency = bitsToFloat(frequencyBits);
        const float rounded = multiply(position_, frequency);
        const float error = multiplyAdd(position_, frequency, -rounded);
        const float square = multiply(error, error);
        const float errorCos = multiplyAdd(square, -0.5f, 1.0f);
        const float errorSin = multiply(error, multiplyAdd(square, -1.0f / 6.0f, 1.0f));
        const float cosC = bitsToFloat(coarseCos);
        const float sinC = bitsToFloat(coarseSin);
        const float cosF = bitsToFloat(fineCos);
        const float sinF = bitsToFloat(fineSin);
        const float cosT = multiplyAdd(cosC, cosF, -multiply(sinC, sinF));
        const float sinT = multiplyAdd(sinC, cosF, multiply(cosC, sinF));
        const float cosine = multiplyAdd(cosT, errorCos, multiply(sinT, errorSin));
        const float sine = multiplyAdd(sinT, errorCos, -multiply(cosT, errorSin));
        return {{floatBits(cosine), floatBits(sine)}};
    }

    const float* frequencies_;
    const float* fine_;
    const float* coarse_;
    float position_;
};

/// The angles of one position, spread over the lanes of a warp: lane l holds those of the pairs
/// 2 l and 2 l + 1 of every 64. So each is loaded and combined once, not by every lane that needs it.
template <class Config>
class WarpAngles {
    static constexpr int kPairs = Config::kRotaryDim / 2;
    static constexpr int kHeld = (kPairs + 63) / 64;
    static_assert(kHeld <= 2);

public:
    MOA_DEVICE void load(const Rotation<Config>& rotation) {
#pragma unroll
        for (int i = 0; i < kHeld; ++i) {
            const int pair = 64 * i + 2 * laneIndex();
            held_[i] = pair < kPairs ? rotation.angles(pair) : Vec16{};
        }
    }

    /// As `Rotation::angles`; all lanes meet.
    MOA_DEVICE Vec16 angles(int pair) const {
        Vec16 result;
#pragma unroll
        for (int word = 0; word < 4; ++word) result.w[word] = wordOf(pair, word);
        return result;
    }

    /// As `Rotation::angle`; all lanes meet.
    MOA_DEVICE Vec8 angle(int pair) const {
        const Vec16 both = angles(pair);
        return pair % 2 == 0 ? Vec8{{both.w[0], both.w[1]}} : Vec8{{both.w[2], both.w[3]}};
    }

private:
    MOA_DEVICE uint32_t wordOf(int pair, int word) const {
        const uint32_t first = shuffle(held_[0].w[word], pair / 2 % 32);
        if constexpr (kHeld == 1) return first;
        const uint32_t second = shuffle(held_[kHeld - 1].w[word], pair / 2 % 32);
        return pair < 64 ? first : second;
    }

    Vec16 held_[kHeld];
};

/// Where nothing turns.
struct NoAngles {};
template <class Config>
using AnglesOf = std::conditional_t<Config::kRope, WarpAngles<Config>, NoAngles>;

/// Which chunks of a row thread `thread` of kHeadDim / 16 holds.
template <class Config>
MOA_DEVICE constexpr int lowChunkOf(int thread) {
    if constexpr (Config::kRope) return Rotation<Config>::lowChunk(thread);
    return thread;
}
template <class Config>
MOA_DEVICE constexpr int highChunkOf(int thread) {
    if constexpr (Config::kRope) return Rotation<Config>::highChunk(thread);
    return thread + Config::kHeadDim / 16;
}

}  // namespace moa
