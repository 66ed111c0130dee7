// How the results of a warpgroup of prefill on Hopper go out: by way of shared memory, or of an item whose keys are cut in two by way of its partial results.
#pragma once
#include <moa/finite.cuh>
#include <moa/prefill/wgmmaRoom.cuh>
#include <moa/primitives/barrier.cuh>
#include <moa/primitives/bulkCopy.cuh>
#include <moa/primitives/memory.cuh>
#include <moa/primitives/shuffle.cuh>
#include <moa/scoreOptions.cuh>

namespace moa {

/// The running softmax of a lane's two rows.
struct WgmmaSoftmax {
    float maximum[2];  ///< of rows g and g + 8, in units of scoreUnit
    float sum[2];      ///< of what the lane has seen
    float scale2;
};

template <class Config>
class WgmmaOutput : WgmmaRoom<Config> {
    using Element = typename Config::Element;
    using Room = WgmmaRoom<Config>;
    using Room::kHeadDim, Room::kComputeWarps, Room::kRows, Room::kChunks, Room::kOutputChunks;

public:
    /// O / sum goes out, by way of the warp's own 16 rows of `room`, a tile of kRows rows and kOutputChunks chunks: lanes have 4 bytes of a chunk and write whole
    /// rows. `kChecks`: returns whether a lane met an output that is not finite; such rows will be stored once more, and a part with some has not been.
    template <bool kChecks, class Params>
    static MOA_DEVICE bool store(const Params& p, const PrefillItem& item, float (&output)[kHeadDim / 2], WgmmaSoftmax& softmax, SharedAddress room) {
        if (item.isPart()) {
            if (kChecks && warpAny(!isFinite(item, output))) return true;
            if (storePart(p, item, output, softmax)) addParts(p, item, softmax.scale2);
            return false;
        }
        // What follows from these is cheap to make and dear to keep.
        const int lane = opaque(laneIndex());
        const int warpRow = opaque(warpIndex() * 16);
        const int firstRow = item.queryBlock * kRows + warpRow;
        const SwizzledRow<kRows> to(room + 4 * (lane & 3), warpRow + (lane >> 2));
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            float sum = quadSum(softmax.sum[row]);
            const float weight = joinSink<Config>(p, item.head, softmax.maximum[row], sum);
            const float inverse = sum == 0.0f ? 0.0f : fastDivide(weight, sum);
            const int position = firstRow + (lane >> 2) + 8 * row;
            if (p.lse != nullptr && (lane & 3) == 0 && position < item.length) {
                storeGlobal(p.lse + (static_cast<int64_t>(item.firstToken) + position) * Config::queryHeads(p) + item.head, logSumExpOf<Config>(p, softmax.maximum[row], sum));
            }
#pragma unroll
            for (int chunk = 0; chunk < kOutputChunks; ++chunk) {
                const int at = 4 * chunk + 2 * row;
                storeShared(to.at(chunk, 8 * row), packPair<Element>(output[at] * inverse, output[at + 1] * inverse));
            }
#pragma unroll
            for (int chunk = kOutputChunks; chunk < kChunks; ++chunk) {
                output[4 * chunk + 2 * row] *= inverse;
                output[4 * chunk + 2 * row + 1] *= inverse;
            }
        }
        warpBarrier();
        constexpr int kRowsAtOnce = 32 / kOutputChunks;
        const int chunk = lane % kOutputChunks;
        const int rows = item.length - firstRow - lane / kOutputChunks;  // from the lane's first row on
        const SharedAddress from = room + swizzledOffset<kRows>(warpRow + lane / kOutputChunks, chunk);
        const int stride = Config::queryHeads(p) * kHeadDim;  // elements between tokens
        uint16_t* out = p.out + (static_cast<int64_t>(item.firstToken) + firstRow + lane / kOutputChunks) * stride + item.head * kHeadDim + chunk * kChunkElements;
        [[maybe_unused]] uint32_t zeros[2] = {};
        const auto writeRows = [&] {
#pragma unroll
            for (int row = 0; row < 16; row += kRowsAtOnce) {
                const Vec16 part = loadShared<Vec16>((from ^ ((row & 7) * kChunkBytes)) + row * kBlockRowBytes);
                if (row >= rows) continue;
                storeGlobal(reinterpret_cast<Vec16*>(out + static_cast<int64_t>(row) * stride), part);
                if constexpr (kChecks) {
#pragma unroll
                    for (int word = 0; word < 4; ++word) zeros[word % 2] = addTimesZero<Element>(zeros[word % 2], part.w[word]);
                }
            }
        };
        writeRows();
        if constexpr (kOutputChunks < kChunks) {
            static_assert(2 * kOutputChunks == kChunks, "O goes out in two halves");
            warpBarrier();  // the first half has been read
#pragma unroll
            for (int at = 4 * kOutputChunks; at < 4 * kChunks; at += 2) {
                storeShared(to.at(at / 4 - kOutputChunks, at % 4 * 4), packPair<Element>(output[at], output[at + 1]));
            }
            warpBarrier();
            out += kOutputChunks * kChunkElements;
            writeRows();
        } else {
            asyncProxyFence();  // the room is one that copies write to
        }
        return (nonFiniteBits<Element>(zeros[0]) | nonFiniteBits<Element>(zeros[1])) != 0;
    }

private:
    /// Of the lane's outputs, those of rows that the item has.
    static MOA_DEVICE bool isFinite(const PrefillItem& item, const float (&output)[kHeadDim / 2]) {
        const int firstRow = item.queryBlock * kRows + warpIndex() * 16 + (laneIndex() >> 2);
        float zeros[2] = {};
#pragma unroll
        for (int i = 0; i < kHeadDim / 2; ++i) zeros[i / 2 % 2] = multiplyAdd(output[i], 0.0f, zeros[i / 2 % 2]);
        return (zeros[0] == 0.0f || firstRow >= item.length) && (zeros[1] == 0.0f || firstRow + 8 >= item.length);
    }

    /// Of an item whose keys are cut in two: the warp's rows as they are, O [16][headDim] and then [16] maximum and sum. True when the other part has left
    /// its own.
    template <class Params>
    static MOA_DEVICE bool storePart(const Params& p, const PrefillItem& item, const float (&output)[kHeadDim / 2], const WgmmaSoftmax& softmax) {
        float* rows = partialOf(p, item.part);
        const int lane = laneIndex();
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            const float sum = quadSum(softmax.sum[row]);
            const int r = (lane >> 2) + 8 * row;
            if ((lane & 3) == 0) storeGlobal(reinterpret_cast<Vec8*>(rows + 16 * kHeadDim + 2 * r), Vec8{{floatBits(softmax.maximum[row]), floatBits(sum)}});
#pragma unroll
            for (int chunk = 0; chunk < kChunks; ++chunk) {
                const int at = 4 * chunk + 2 * row;
                storeGlobal(reinterpret_cast<Vec8*>(rows + r * kHeadDim + chunk * kChunkElements + 2 * (lane & 3)), Vec8{{floatBits(output[at]), floatBits(output[at + 1])}});
            }
        }
        warpBarrier();
        uint32_t* ticket = p.partTickets + item.part / 2 * kComputeWarps + warpIndex();
        uint32_t before = 0;
        if (lane == 0) before = atomicIncrementWrap(ticket, 1);
        return shuffle(before, 0) != 0;
    }

    /// Both parts of the warp's rows, the first one first, become O.
    template <class Params>
    static MOA_DEVICE void addParts(const Params& p, const PrefillItem& item, float scale2) {
        const float* first = partialOf(p, item.part & ~1);
        const float* second = partialOf(p, item.part | 1);
        const int firstRow = item.queryBlock * kRows + warpIndex() * 16;
#pragma unroll 2
        for (int index = laneIndex(); index < 16 * kChunks; index += 32) {
            const int row = index / kChunks;
            const int column = index % kChunks * kChunkElements;
            const int position = firstRow + row;
            if (position >= item.length) break;
            const Vec8 a = loadGlobal(reinterpret_cast<const Vec8*>(first + 16 * kHeadDim + 2 * row));
            const Vec8 b = loadGlobal(reinterpret_cast<const Vec8*>(second + 16 * kHeadDim + 2 * row));
            float largest = larger(bitsToFloat(a.w[0]), bitsToFloat(b.w[0]));
            const float base = finiteMaximum(largest) * scale2;
            const float weightA = exp2Approx(bitsToFloat(a.w[0]) * scale2 - base);
            const float weightB = exp2Approx(bitsToFloat(b.w[0]) * scale2 - base);
            float sum = bitsToFloat(a.w[1]) * weightA + bitsToFloat(b.w[1]) * weightB;
            const float weight = joinSink<Config>(p, item.head, largest, sum);
            const float inverse = sum == 0.0f ? 0.0f : fastDivide(weight, sum);
            Vec16 result;
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const Vec16 u = loadGlobal(reinterpret_cast<const Vec16*>(first + row * kHeadDim + column) + half);
                const Vec16 v = loadGlobal(reinterpret_cast<const Vec16*>(second + row * kHeadDim + column) + half);
#pragma unroll
                for (int pair = 0; pair < 2; ++pair) {
                    const auto sumOf = [&](int i) { return (bitsToFloat(u.w[i]) * weightA + bitsToFloat(v.w[i]) * weightB) * inverse; };
                    result.w[2 * half + pair] = packPair<Element>(sumOf(2 * pair), sumOf(2 * pair + 1));
                }
            }
            const int64_t token = static_cast<int64_t>(item.firstToken) + position;
            storeGlobal(reinterpret_cast<Vec16*>(p.out + (token * Config::queryHeads(p) + item.head) * kHeadDim + column), result);
            if (p.lse != nullptr && column == 0) storeGlobal(p.lse + token * Config::queryHeads(p) + item.head, logSumExpOf<Config>(p, largest, sum));
        }
    }

    /// The warp's rows of a part.
    template <class Params>
    static MOA_DEVICE float* partialOf(const Params& p, int part) {
        return p.partials + (static_cast<int64_t>(part) * kComputeWarps + warpIndex()) * (16 * (kHeadDim + 2));
    }
};

}  // namespace moa
