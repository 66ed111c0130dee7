// Attention of one query head group to 16 keys of a page, on CUDA cores: fp32 throughout, each product counted once, whatever the group.
//
//   S = Q K^T : `kKeyLanes` lanes share a row and keep their part of every query; a sum over them halves what each has left at every step, so that
//               it ends with a lane's own head and `kScores` of its rows.
//   O = P V   : `kValueLanes` lanes share a row and keep their part of every output. A row's probabilities lie in just these lanes.
#pragma once
#include <moa/decode/groupMask.cuh>
#include <moa/primitives/math.cuh>
#include <moa/rotate.cuh>
#include <moa/scoreOptions.cuh>
#include <type_traits>

namespace moa {

/// One warp's part of a segment: a running softmax over its 16 rows of the pages seen so far. Lane i holds the maximum of head i % kHeads, and
/// its sum over the lane's own keys alone until the segment ends.
template <class Config, class Mask>
class FmaAttend {
    using Element = typename Config::Element;
    using Cache = typename Config::Cache;
    static_assert(sizeof(typename Cache::Chunk) == 16, "a cache of 16-bit elements");
    static_assert(Config::kMaxGroup <= 8, "larger groups belong on tensor cores");

    static constexpr int kHeadDim = Config::kHeadDim;
    static constexpr int kChunks = kHeadDim / 8;  ///< of a row
    /// The group's heads, filled up to a power of two with queries of zero.
    static constexpr int kHeads = Config::kMaxGroup > 4 ? 8 : Config::kMaxGroup > 2 ? 4 : Config::kMaxGroup;
    /// Queries take up to 64 registers of a lane, and outputs 32 beside a producer, with which a thread has 168 registers, else 64 as well.
    static constexpr int kKeyLanes = maximum(8, kHeads * kHeadDim / 64);
    static constexpr int kValueLanes = maximum(8, kHeads * kHeadDim / (Config::kProducer ? 32 : 64));

    static constexpr int kKeyChunks = kChunks / kKeyLanes;  ///< of a row, in a lane
    static constexpr int kKeySets = 32 / kKeyLanes;         ///< rows that are multiplied at once
    static constexpr int kLaneRows = 16 / kKeySets;
    /// Neighbouring lanes that end with the same rows: a lane for each head, or the two that end with all the same.
    static constexpr int kPeers = maximum(2, kHeads);
    static constexpr int kScores = kPeers / 2;  ///< rows of its head that a lane ends with

    static constexpr int kColumns = kHeadDim / kValueLanes;  ///< of the output, in a lane
    using Piece = std::conditional_t<kColumns == 4, Vec8, Vec16>;
    static constexpr int kPieceColumns = sizeof(Piece) / 2;
    static constexpr int kPieces = kColumns / kPieceColumns;
    static constexpr int kLaneKeys = kValueLanes / 2;  ///< that a lane multiplies by their values
    static_assert(kKeyLanes <= kValueLanes && kValueLanes <= 32);
    static_assert((kKeyChunks == 1 || kKeyChunks == 2) && (kPieces == 1 || kPieces == 2), "a lane has whole chunks, half a row apart");

    /// Each element of a row turns with the one half a row further on.
    static constexpr bool kTurnsWhole = [] {
        if constexpr (Config::kRope) return !Config::kInterleaved && Config::kRotaryDim == kHeadDim;
        return false;
    }();

    /// A maximum that grows by less than this, in log2, stays: probabilities stay below 2^8.
    static constexpr float kLazyLog2 = 8.0f;

public:
    static constexpr int kRows = 16;  ///< keys of a page that a warp takes

    /// Begins a segment, as far as that depends on the session alone.
    template <class Params>
    MOA_DEVICE void place(const Params& p, const DecodeSegment& segment, int length) {
        if constexpr (Config::kAgeMask) {
            ages_.open(p, segment, length);
            window_ = ages_.windowOf(p, segment, ownHead());
        }
        if constexpr (kTurnsWhole) angles_.load(Rotation<Config>(p, maximum(length, 1) - 1));
    }

    /// Begins a segment, as far as that depends on the new token.
    template <class Params>
    MOA_DEVICE void open(const Params& p, const DecodeSegment& segment, int length) {
        loadQueries(p, segment, maximum(length, 1) - 1);
        scale2_ = p.scale * Cache::keyScale(p, segment.kvHead) * kLog2e;
        restart();
    }

    /// Begins another piece of the same ring; what was stored is empty.
    MOA_DEVICE void restart() {
        maximum_ = kNegativeInfinity;
        sum_ = 0.0f;
    }

    /// What `open` brought need not be kept.
    MOA_DEVICE void forget() {
        scale2_ = 0.0f;
        restart();
    }

    /// The 16 keys from `row` of the page at `stage` on: scores, mask, softmax, O += P V. Values are read before the softmax, since no load moves
    /// across its branches by itself. `keysRead`, if there is one, is called between keys and values.
    template <class... KeysRead>
    MOA_DEVICE void attend(SharedAddress stage, const PageItem& item, int row, const KeysRead&... keysRead) {
        float scores[kScores];
        multiplyKeys(scores, stage, row);
        (keysRead(), ...);
        Piece values[kLaneKeys][kPieces];
        readValues(values, stage + Cache::kHalfBytes, row);
        if constexpr (kCapsScores<Config>) {
#pragma unroll
            for (int i = 0; i < kScores; ++i) scores[i] = cappedScore<Config>(scores[i], scale2_);
        }
        forbid(scores, item, row);
        raiseMaximum(scores);
        const float base = finiteMaximum(maximum_) * unit2();
#pragma unroll
        for (int i = 0; i < kScores; ++i) {
            scores[i] = exp2Approx(scores[i] * unit2() - base);
            sum_ += scores[i];
        }
        addValues(scores, values);
    }

    /// Writes the state of every head of the group: at `area` + head * `stride` bytes its output, then the maximum and the sum. It is empty then: the
    /// compiler does not know that `open` comes next, and would keep it in registers while the block merges.
    template <class Params>
    MOA_DEVICE void store(const Params& p, const DecodeSegment& segment, SharedAddress area, int stride) {
        const float valueScale = Cache::valueScale(p, Config::kvHeads(p), segment.kvHead);
#pragma unroll
        for (int head = 0; head < Config::kMaxGroup; ++head) {
            if (head < Config::groupSize(p)) storeOutput(output_[head], valueScale, area + head * stride);
        }
        float total = sum_;
#pragma unroll
        for (int mask = kPeers; mask < 32; mask *= 2) total += shuffleXor(total, mask);
        // The maximum counts in units of scoreUnit, as everything behind a segment does.
        const float maximum = kCapsScores<Config> ? maximum_ : maximum_ * Cache::keyScale(p, segment.kvHead);
        const Vec8 scalars = {{floatBits(maximum), floatBits(total)}};
        if (laneIndex() < Config::groupSize(p)) storeShared(area + laneIndex() * stride + kHeadDim * 4, scalars);
        clear();
    }

private:
    MOA_DEVICE void clear() {
#pragma unroll
        for (int head = 0; head < kHeads; ++head) {
#pragma unroll
            for (int d = 0; d < kKeyChunks * 8; ++d) query_[head][d] = 0.0f;
        }
#pragma unroll
        for (int head = 0; head < Config::kMaxGroup; ++head) {
#pragma unroll
            for (int n = 0; n < kColumns; ++n) output_[head][n] = 0.0f;
        }
    }

    /// What a stored score is multiplied by, for base 2.
    MOA_DEVICE float unit2() const {
        if constexpr (kCapsScores<Config>) return 2.0f * Config::kSoftCap * kLog2e;
        return scale2_;
    }

    static MOA_DEVICE int ownHead() { return laneIndex() & (kHeads - 1); }

    /// Lane bits that choose among the rows of a set, in the place of the bits of a number of 0 to kLaneRows - 1.
    static MOA_DEVICE int swapOf(int lane) { return (lane & (kKeyLanes - 1) & ~(kPeers - 1)) >> 1; }

    /// Row `i` of a lane, among the warp's 16. Eight neighbours read eight chunks, of rows that differ in bits 2 and 3 at most. Bit 2 is lane bit 1 and
    /// moves a chunk by bit 2, so that the eight still lie in different banks.
    static MOA_DEVICE int rowOf(int lane, int i) { return lane / kKeyLanes + kKeySets * (i ^ swapOf(lane)); }

    /// From a row's address to that of the row `rows` further: two rows that differ in the bits of `rows` alone, of which the first has none. Of an
    /// address but one exclusive or is computed, while sums of whole offsets would be kept in registers.
    static MOA_DEVICE SharedAddress further(SharedAddress address, int rows) { return (address ^ Cache::chunkOffset(rows & 7, 0)) + Cache::chunkOffset(rows & 8, 0); }

    /// A lane's parts of the queries. Of lane i, number n is of head n ^ (i % kHeads): what it adds up for its neighbours has the same number as
    /// what they add up for it.
    template <class Params>
    MOA_DEVICE void loadQueries(const Params& p, const DecodeSegment& segment, int position) {
        const int64_t firstHead = static_cast<int64_t>(segment.slot) * Config::queryHeads(p) + segment.kvHead * Config::groupSize(p);
        const int part = laneIndex() & (kKeyLanes - 1);
        if constexpr (Config::kRope) {
            if constexpr (!kTurnsWhole) return loadPartlyTurned(p, firstHead, part, position);
        }
        const int chunk = part & (kChunks / 2 - 1);  // of the first half of the row; RoPE pairs it with that of the second
        Vec16 halves[kHeads][2];
#pragma unroll
        for (int n = 0; n < kHeads; ++n) {
            const int member = n ^ ownHead();
            const Vec16* source = reinterpret_cast<const Vec16*>(p.q + (firstHead + member) * kHeadDim) + chunk;
#pragma unroll
            for (int half = 0; half < 2; ++half) halves[n][half] = member < Config::groupSize(p) ? loadGlobal(source + half * (kChunks / 2)) : Vec16{};
        }
        if constexpr (kTurnsWhole) {
#pragma unroll
            for (int word = 0; word < 4; ++word) {
                const Vec16 turns = angles_.angles(chunk * 8 + 2 * word);
#pragma unroll
                for (int n = 0; n < kHeads; ++n) Rotation<Config>::rotatePairs(halves[n][0].w[word], halves[n][1].w[word], turns);
            }
        }
#pragma unroll
        for (int n = 0; n < kHeads; ++n) {
            if constexpr (kKeyChunks == 2) {
                unpack(query_[n], halves[n][0], 0);
                unpack(query_[n], halves[n][1], 8);
            } else {
                Vec16 own;
#pragma unroll
                for (int word = 0; word < 4; ++word) own.w[word] = part == chunk ? halves[n][0].w[word] : halves[n][1].w[word];
                unpack(query_[n], own, 0);
            }
        }
    }

    /// `loadQueries` where chunks do not turn with those half a row apart: each chunk of the lane beside its partner.
    template <class Params>
    MOA_DEVICE void loadPartlyTurned(const Params& p, int64_t firstHead, int part, int position) {
        const Rotation<Config> rotation(p, position);
#pragma unroll
        for (int piece = 0; piece < kKeyChunks; ++piece) {
            const int chunk = part + piece * kKeyLanes;
            const int partner = Rotation<Config>::partner(chunk);
            Vec16 own[kHeads];
            Vec16 partners[kHeads];
#pragma unroll
            for (int n = 0; n < kHeads; ++n) {
                const int member = n ^ ownHead();
                const Vec16* source = reinterpret_cast<const Vec16*>(p.q + (firstHead + member) * kHeadDim);
                own[n] = member < Config::groupSize(p) ? loadGlobal(source + chunk) : Vec16{};
                partners[n] = member < Config::groupSize(p) && partner != chunk ? loadGlobal(source + partner) : Vec16{};
            }
            rotation.rotateOwn(own, partners, chunk);
#pragma unroll
            for (int n = 0; n < kHeads; ++n) unpack(query_[n], own[n], piece * 8);
        }
    }

    template <int kCount, class Words>
    static MOA_DEVICE void unpack(float (&to)[kCount], const Words& words, int first) {
#pragma unroll
        for (int word = 0; word < static_cast<int>(sizeof(Words) / 4); ++word) {
            to[first + 2 * word] = unpackLow<Element>(words.w[word]);
            to[first + 2 * word + 1] = unpackHigh<Element>(words.w[word]);
        }
    }

    /// Scores of the lane's head: number i is that of key row + rowOf(lane, i).
    MOA_DEVICE void multiplyKeys(float (&scores)[kScores], SharedAddress stage, int row) const {
        const int lane = opaque(laneIndex());
        const int firstRow = rowOf(lane, 0);
        const SharedAddress first = stage + Cache::chunkOffset(row + firstRow, lane & (kKeyLanes - 1));
        const SharedAddress others = (firstRow & 8) == 0 ? further(first, 8) : first - Cache::chunkOffset(8, 0);
        float sums[kLaneRows];
#pragma unroll
        for (int i = 0; i < kLaneRows; ++i) {
            const SharedAddress address = further((kKeySets * i & 8) == 0 ? first : others, kKeySets * i & 7);
            float key[kKeyChunks * 8];
#pragma unroll
            for (int piece = 0; piece < kKeyChunks; ++piece) {
                unpack(key, loadShared<Vec16>(address + Cache::chunkOffset(0, piece * kKeyLanes)), piece * 8);
            }
            float products[kHeads] = {};
#pragma unroll
            for (int d = 0; d < kKeyChunks * 8; ++d) {
#pragma unroll
                for (int n = 0; n < kHeads; ++n) products[n] += query_[n][d] * key[d];
            }
            // Of its heads, a lane gives half of those left to the neighbour who keeps them.
#pragma unroll
            for (int mask = kHeads / 2; mask > 0; mask /= 2) {
#pragma unroll
                for (int n = 0; n < mask; ++n) products[n] += shuffleXor(products[n + mask], mask);
            }
            sums[i] = products[0];
        }
        // And of its rows, as far as lanes are left.
#pragma unroll
        for (int mask = kKeyLanes / 2; mask >= kPeers; mask /= 2) {
#pragma unroll
            for (int i = 0; i < mask / 2; ++i) sums[i] += shuffleXor(sums[i + mask / 2], mask);
        }
#pragma unroll
        for (int i = 0; i < kScores; ++i) scores[i] = kHeads == 1 ? sums[i] + shuffleXor(sums[i], 1) : sums[i];
    }

    /// Scores of forbidden keys become -inf.
    MOA_DEVICE void forbid(float (&scores)[kScores], const PageItem& item, int row) const {
        if (item.rows < kPageTokens) {
#pragma unroll
            for (int i = 0; i < kScores; ++i) {
                if (row + rowOf(laneIndex(), i) >= item.rows) scores[i] = kNegativeInfinity;
            }
        }
        if constexpr (Config::kAgeMask) {
            if (ages_.mayForbid(item.page)) {
#pragma unroll
                for (int i = 0; i < kScores; ++i) {
                    if (!allows(Mask{window_}, ages_.newest(), ages_.positionOf(item.page, row + rowOf(laneIndex(), i)))) scores[i] = kNegativeInfinity;
                }
            }
        }
    }

    /// Raises the maxima of the heads of which a score passes it by so much that its probability could grow large; else what was subtracted so
    /// far serves on, and nothing need be rescaled. A head's maximum depends on its own scores alone.
    MOA_DEVICE void raiseMaximum(const float (&scores)[kScores]) {
        float largest = scores[0];
#pragma unroll
        for (int i = 1; i < kScores; ++i) largest = larger(largest, scores[i]);
        if (!warpAny((largest - maximum_) * unit2() > kLazyLog2)) return;
#pragma unroll
        for (int mask = kPeers; mask < 32; mask *= 2) largest = larger(largest, shuffleXor(largest, mask));
        const float raised = (largest - maximum_) * unit2() > kLazyLog2 ? largest : maximum_;
        const float correction = exp2Approx(maximum_ * unit2() - finiteMaximum(raised) * unit2());
        maximum_ = raised;
        sum_ *= correction;
#pragma unroll
        for (int head = 0; head < Config::kMaxGroup; ++head) {
            const float ofHead = shuffle(correction, head);
#pragma unroll
            for (int n = 0; n < kColumns; ++n) output_[head][n] *= ofHead;
        }
    }

    /// A lane's columns of its keys, those whose probabilities lie in the lanes that share its rows: number n is row n % kScores of the peers
    /// n / kScores of these.
    static MOA_DEVICE void readValues(Piece (&pieces)[kLaneKeys][kPieces], SharedAddress values, int row) {
        const int lane = opaque(laneIndex());
        const int part = lane & (kValueLanes - 1);
        const int chunk = kPieceColumns == 8 ? part : part / 2;
        const int within = kPieceColumns == 8 ? 0 : part % 2 * static_cast<int>(sizeof(Piece));
        const SharedAddress first = values + Cache::chunkOffset(row + rowOf(lane - part, 0), chunk) + within;
#pragma unroll
        for (int n = 0; n < kLaneKeys; ++n) {
            const SharedAddress address = further(first, rowOf(n / kScores * kPeers, n % kScores));
#pragma unroll
            for (int piece = 0; piece < kPieces; ++piece) pieces[n][piece] = loadShared<Piece>(address + Cache::chunkOffset(0, piece * kValueLanes));
        }
    }

    /// O += P V.
    MOA_DEVICE void addValues(const float (&probabilities)[kScores], const Piece (&pieces)[kLaneKeys][kPieces]) {
        const int firstLane = laneIndex() & ~(kValueLanes - 1);
#pragma unroll
        for (int n = 0; n < kLaneKeys; ++n) {
            float value[kColumns];
#pragma unroll
            for (int piece = 0; piece < kPieces; ++piece) unpack(value, pieces[n][piece], piece * kPieceColumns);
#pragma unroll
            for (int head = 0; head < Config::kMaxGroup; ++head) {
                const float probability = shuffle(probabilities[n % kScores], firstLane + n / kScores * kPeers + head);
                if (probability == 0.0f) continue;  // of a masked key, whose value may be anything
#pragma unroll
                for (int column = 0; column < kColumns; ++column) output_[head][column] += probability * value[column];
            }
        }
    }

    /// The first half of a lane's values and the second belong to it and to a partner, `mask` away: adds up the half that it keeps.
    template <int kCount>
    static MOA_DEVICE void addHalves(float (&kept)[kCount / 2], const float (&values)[kCount], int mask, bool second) {
#pragma unroll
        for (int n = 0; n < kCount / 2; ++n) {
            const float own = second ? values[n + kCount / 2] : values[n];
            kept[n] = own + shuffleXor(second ? values[n] : values[n + kCount / 2], mask);
        }
    }

    template <int kCount>
    static MOA_DEVICE void storeColumns(SharedAddress to, const float (&values)[kCount]) {
        std::conditional_t<kCount == 2, Vec8, Vec16> words;
        static_assert(sizeof(words) == kCount * 4);
#pragma unroll
        for (int n = 0; n < kCount; ++n) words.w[n] = floatBits(values[n]);
        storeShared(to, words);
    }

    /// Adds a head's output over the lanes that hold the same columns, and writes it: every lane a part, and lanes that are 32 columns apart other
    /// parts of theirs at a time, so that they do not meet in the same banks.
    static MOA_DEVICE void storeOutput(const float (&output)[kColumns], float valueScale, SharedAddress row) {
        const int lane = laneIndex();
        const int part = lane & (kValueLanes - 1);
        float values[kColumns];
        if constexpr (kValueLanes == 32) {
#pragma unroll
            for (int n = 0; n < kColumns; ++n) values[n] = output[n] * valueScale;
            storeColumns(row + part * kColumns * 4, values);
        } else {
            // Halves of pieces first: values[half][piece][column].
            constexpr int kHalf = kPieceColumns / 2;
#pragma unroll
            for (int n = 0; n < kColumns; ++n) {
                values[n / kHalf % 2 * (kColumns / 2) + n / kPieceColumns * kHalf + n % kHalf] = output[n] * valueScale;
            }
            const int half = (lane / 16 ^ lane / (32 / kPieceColumns)) & 1;
            float halves[kColumns / 2];
            addHalves(halves, values, 16, half != 0);
            const SharedAddress to = row + (part * kPieceColumns + half * kHalf) * 4;
            if constexpr (kValueLanes == 16) {
                storeColumns(to, halves);
            } else {
                const int quarter = lane / 8 & 1;
                float quarters[kColumns / 4];
                addHalves(quarters, halves, 8, quarter != 0);
                // The second piece, or the second half of the half.
                storeColumns(to + quarter * (kPieces == 2 ? kHeadDim / 2 : 2) * 4, quarters);
            }
        }
    }

    float query_[kHeads][kKeyChunks * 8] = {};
    float output_[Config::kMaxGroup][kColumns] = {};
    float maximum_;
    float sum_;
    float scale2_;
    int window_ = 0;  ///< of the lane's head
    RingAges<Config> ages_;
    std::conditional_t<kTurnsWhole, WarpAngles<Config>, NoAngles> angles_;
};

}  // namespace moa
