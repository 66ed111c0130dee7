// The plan of decode for one class of layers: which block reads which pages of which ring. By one thread block; test/spec/decodePlan.ts says the same word for word.
//
//   sequence : the pages of its rings laid end to end, each ring's behind those that it costs to begin and end one, are cut into parts of equal length: one for each
//              block of a launch, or fewer where there are fewer than minPages pages for each. Where a part begins inside a ring the ring is cut, so that
//              pieces of rings say nothing of other sequences
//   launch   : the parts of all sequences, one after the other, each as costly as its sequence's costliest, are dealt out to blocks in runs of equal cost
//   segment  : the pieces of one ring that follow each other in one block; or a slot without new tokens, whose rows become 0
//
//   cost of a block <= cost of all / blocks + that of a part
#pragma once
#include <moa/decode/segment.cuh>
#include <moa/plan/newTokens.cuh>
#include <moa/primitives/atomics.cuh>
#include <moa/primitives/barrier.cuh>

namespace moa {

/// What is the same for all classes.
struct DecodeCut {
    int blocks;        ///< of a launch
    int minPages;      ///< for each part of a sequence, and of each piece of a ring but the last: no group of warps is without one
    int segmentPages;  ///< that a ring costs besides its own
    int slots;
    int kvHeads;
    int tiles;     ///< that the rows of queries of a KV head fill
    int tileRows;  ///< of a full one
};

template <int kThreads>
class DecodePlan {
    static constexpr int kMostPieces = PlannedSegment::kMostPieces;
    /// Of shared memory: of each slot six numbers, and places of rings as far as there is room for them.
    static constexpr int kSlotWords = 6;

public:
    static constexpr int kSharedWords = 11 * 1024;
    static constexpr int kSharedBytes = kSharedWords * 4;

    /// Words of scratch in global memory, where shared memory has no room.
    static MOA_DEVICE constexpr int64_t scratchWords(int slots, int units) { return static_cast<int64_t>(slots) * (kSlotWords + units); }
    /// Segments that are written, at most.
    static MOA_DEVICE constexpr int64_t mostSegments(int slots, int units, int blocks) { return blocks + static_cast<int64_t>(slots) * units; }

    MOA_DEVICE DecodePlan(const DecodeCut& cut, const NewTokens& tokens, const Ring* rings, int sink, PlannedSegment* segments, int* scratch)
        : cut_(cut), tokens_(tokens), rings_(rings), geometry_{sink}, segments_(segments), scratch_(scratch), units_(cut.kvHeads * cut.tiles) {
        isShared_ = scratchWords(cut.slots, units_) + kThreads / 32 + 3 <= kSharedWords;
    }

    /// By all threads: whether the plan is another one than what `known`, of 2 slots + 1 words, says was made last; it says so then. A plan follows from the
    /// pages in use of a ring without end, the length bounds, and how many rows of queries there are; packed rows lie elsewhere in each step.
    MOA_DEVICE bool isNews(const int* bounds, int* known) const {
        constexpr int kEndless = 0x7fffffff;
        const SharedAddress vote = sharedBase();
        if (threadIndex() == 0) storeShared(vote, static_cast<int>(tokens_.cuSeqlens != nullptr));
        blockBarrier();
        bool differs = false;
        for (int slot = threadIndex(); slot < cut_.slots; slot += kThreads) {
            const int tokens = tokens_.lengthAfter(slot);
            const int pages = tokens > 0 ? geometry_.pagesInUse(tokens, kEndless) : 0;
            const int bound = loadGlobal(bounds + slot);
            differs |= loadGlobal(known + slot) != pages || loadGlobal(known + cut_.slots + slot) != bound;
            storeGlobal(known + slot, pages);
            storeGlobal(known + cut_.slots + slot, bound);
        }
        if (threadIndex() == 0) {
            const int shape = tokens_.cuSeqlens != nullptr ? -1 : cut_.tiles;
            differs |= loadGlobal(known + 2 * cut_.slots) != shape;
            storeGlobal(known + 2 * cut_.slots, shape);
        }
        if (differs) atomicAddShared(vote, 1);
        blockBarrier();
        const bool news = loadShared<int>(vote) != 0;
        blockBarrier();
        return news;
    }

    /// By all threads.
    MOA_DEVICE void run() {
        for (int slot = warpIndex(); slot < cut_.slots; slot += kThreads / 32) cutSequence(slot);
        blockBarrier();
        if (warpIndex() == 0) addSequences();
        blockBarrier();
        const int used = minimum(cut_.blocks, load(totals() + 4));
        int rest = cut_.blocks;  // where the segments of these blocks begin that are not the first of theirs
        for (int first = 0; first < cut_.blocks; first += kThreads) {
            const int block = first + threadIndex();
            const int more = block < cut_.blocks ? maximum(0, forSegments(block, used, [](const PlannedSegment&, int) {}) - 1) : 0;
            int before = 0;
            const int all = addUp(more, before);
            if (block < cut_.blocks) writeBlock(block, used, rest + before);
            rest += all;
        }
    }

private:
    // What is known of a slot: length of its sequence's rings end to end, parts, cost of each; and of those before it the cost, the partial results,
    // and how many have rows but no new token.
    MOA_DEVICE int lengthAt(int slot) const { return slot; }
    MOA_DEVICE int partsAt(int slot) const { return cut_.slots + slot; }
    MOA_DEVICE int costAt(int slot) const { return 2 * cut_.slots + slot; }
    MOA_DEVICE int beforeAt(int slot) const { return 3 * cut_.slots + slot; }
    MOA_DEVICE int partialAt(int slot) const { return 4 * cut_.slots + slot; }
    MOA_DEVICE int idleAt(int slot) const { return 5 * cut_.slots + slot; }
    MOA_DEVICE int placeAt(int slot, int unit) const { return kSlotWords * cut_.slots + slot * units_ + unit; }
    /// Cost and number of all parts, and slots without new tokens: in shared memory always, behind the sums of warps.
    static MOA_DEVICE SharedAddress totals() { return sharedBase() + 4 * (kThreads / 32); }
    static MOA_DEVICE SharedAddress idleTotal() { return totals() + 8; }

    MOA_DEVICE int get(int at) const { return isShared_ ? loadShared<int>(words() + 4 * at) : loadGlobal(scratch_ + at); }
    MOA_DEVICE void set(int at, int value) const {
        if (isShared_) {
            storeShared(words() + 4 * at, value);
        } else {
            storeGlobal(scratch_ + at, value);
        }
    }
    static MOA_DEVICE SharedAddress words() { return sharedBase() + 4 * (kThreads / 32 + 3); }
    static MOA_DEVICE int load(SharedAddress at) { return loadShared<int>(at); }

    MOA_DEVICE Ring ringOf(int slot, int unit) const {
        const Vec8 ring = loadGlobal(reinterpret_cast<const Vec8*>(rings_) + slot * cut_.kvHeads + unit / cut_.tiles);
        return Ring{static_cast<int>(ring.w[0]), static_cast<int>(ring.w[1])};
    }

    /// By a warp: the places of a sequence's rings, and its parts.
    MOA_DEVICE void cutSequence(int slot) const {
        const int tokens = tokens_.lengthAfter(slot);
        int length = 0;
        int pages = 0;
        if (tokens > 0) {
            for (int first = 0; first < units_; first += 32) {
                const int unit = first + laneIndex();
                const int own = unit < units_ ? geometry_.pagesInUse(tokens, ringOf(slot, unit).window) : 0;
                const int cost = unit < units_ ? own + cut_.segmentPages : 0;
                const int upTo = sumUpTo(cost);
                if (unit < units_) set(placeAt(slot, unit), length + upTo - own);
                length += shuffle(upTo, 31);
                pages += shuffle(sumUpTo(own), 31);
            }
        }
        if (laneIndex() != 0) return;
        const int parts = tokens > 0 ? maximum(1, minimum(pages / cut_.minPages, minimum(cut_.blocks, kMostPieces))) : 0;
        set(lengthAt(slot), length);
        set(partsAt(slot), parts);
        set(costAt(slot), tokens > 0 ? ceilDivide(length, parts) + cut_.segmentPages : 0);
    }

    /// By one warp: what comes before each slot.
    MOA_DEVICE void addSequences() const {
        int cost = 0;
        int partial = 0;
        int all = 0;
        int idle = 0;
        for (int first = 0; first < cut_.slots; first += 32) {
            const int slot = first + laneIndex();
            const int parts = slot < cut_.slots ? get(partsAt(slot)) : 0;
            const int own = slot < cut_.slots ? parts * get(costAt(slot)) : 0;
            const int room = parts > 0 ? parts + units_ : 0;
            const int costs = sumUpTo(own);
            const int rooms = sumUpTo(room);
            // With packed rows a slot without new tokens has none.
            const int ownIdle = slot < cut_.slots && parts == 0 && tokens_.cuSeqlens == nullptr ? 1 : 0;
            const int idles = sumUpTo(ownIdle);
            if (slot < cut_.slots) {
                set(beforeAt(slot), cost + costs - own);
                set(partialAt(slot), partial + rooms - room);
                set(idleAt(slot), idle + idles - ownIdle);
            }
            cost += shuffle(costs, 31);
            partial += shuffle(rooms, 31);
            all += shuffle(sumUpTo(parts), 31);
            idle += shuffle(idles, 31);
        }
        if (laneIndex() == 0) {
            storeShared(totals(), cost);
            storeShared(totals() + 4, all);
            storeShared(idleTotal(), idle);
        }
    }

    /// Over the lanes up to the own one.
    static MOA_DEVICE int sumUpTo(int value) {
#pragma unroll
        for (int by = 1; by < 32; by *= 2) {
            const int other = shuffle(value, laneIndex() - by);
            if (laneIndex() >= by) value += other;
        }
        return value;
    }

    /// Over the threads of the block; `before`: of those before the own one.
    static MOA_DEVICE int addUp(int value, int& before) {
        const int own = warpIndex();
        const int upTo = sumUpTo(value);
        blockBarrier();
        if (laneIndex() == 31) storeShared(sharedBase() + 4 * own, upTo);
        blockBarrier();
        before = upTo - value;
        int all = 0;
        for (int warp = 0; warp < kThreads / 32; ++warp) {
            const int sum = load(sharedBase() + 4 * warp);
            if (warp < own) before += sum;
            all += sum;
        }
        return all;
    }

    struct Part {
        int slot;
        int number;
    };

    /// The first part, of those of all sequences, that falls to `block` or a later one.
    MOA_DEVICE Part firstOf(int block, int used) const {
        const int64_t total = load(totals());
        // A part falls to the block (cost of all before it + half its own) * used / total, rounded down.
        const int from = static_cast<int>((block * total + used - 1) / used);
        int low = 0;
        int high = cut_.slots;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (get(beforeAt(middle)) <= from) {
                low = middle;
            } else {
                high = middle;
            }
        }
        // The last slot that begins at or before it; those without a sequence begin where the next one does.
        const int parts = get(partsAt(low));
        const int cost = get(costAt(low));
        const int number = parts > 0 ? ceilDivide(maximum(0, from - get(beforeAt(low)) - cost / 2), cost) : 0;
        if (number < parts) return Part{low, number};
        int next = low + 1;
        while (next < cut_.slots && get(partsAt(next)) == 0) ++next;
        return Part{next, 0};
    }

    /// Ring `unit` of a sequence among its parts: it has one piece of each of the parts first .. last.
    struct Pieces {
        int place;
        int first;
        int last;
    };

    MOA_DEVICE Pieces piecesOf(int slot, int unit, int length, int parts) const {
        const int place = get(placeAt(slot, unit));
        const int end = unit + 1 < units_ ? get(placeAt(slot, unit + 1)) - cut_.segmentPages : length;
        const auto partsUpTo = [&](int at) { return minimum(parts, static_cast<int>(static_cast<int64_t>(at) * parts / length) + 1); };
        // The ring is cut where a part begins behind its first minPages.
        return Pieces{place, partsUpTo(minimum(place + cut_.minPages, end) - 1) - 1, partsUpTo(end - 1) - 1};
    }

    /// Where a part begins, in pages of the sequence's rings. Rounded up: the last block of a launch starts last, and gets one of the shorter parts.
    static MOA_DEVICE int beginOf(int part, int length, int parts) { return static_cast<int>((static_cast<int64_t>(part) * length + parts - 1) / parts); }

    /// Calls `take` for the segments of a block, in their order, with the segment and its number. Returns how many they are.
    template <class Take>
    MOA_DEVICE int forSegments(int block, int used, const Take& take) const {
        int count = 0;
        // Of slots without new tokens each block has as many as any other, those without other work first.
        for (int rank = cut_.blocks - 1 - block; rank < load(idleTotal()); rank += cut_.blocks) {
            take(idleSegment(slotOfIdle(rank)), count);
            ++count;
        }
        if (block >= used) return count;
        const Part from = firstOf(block, used);
        const Part to = block + 1 < used ? firstOf(block + 1, used) : Part{cut_.slots, 0};
        for (int slot = from.slot; slot < cut_.slots && slot <= to.slot; ++slot) {
            const int parts = get(partsAt(slot));
            const int begin = slot == from.slot ? from.number : 0;
            const int end = slot == to.slot ? to.number : parts;
            if (begin >= end) continue;
            const int length = get(lengthAt(slot));
            for (int unit = firstUnit(slot, begin, length, parts); unit < units_; ++unit) {
                const Pieces pieces = piecesOf(slot, unit, length, parts);
                if (pieces.first >= end) break;
                take(segmentOf(slot, unit, pieces, maximum(pieces.first, begin), minimum(pieces.last, end - 1), length, parts, used), count);
                ++count;
            }
        }
        return count;
    }

    /// The slot with `rank` slots before it that have no new tokens either.
    MOA_DEVICE int slotOfIdle(int rank) const {
        int low = 0;
        int high = cut_.slots;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (get(idleAt(middle)) <= rank) {
                low = middle;
            } else {
                high = middle;
            }
        }
        // The last of those with as many before it: others follow such a slot only.
        return low;
    }

    /// Of no ring, with a window, since kernels ask at once where in it the new token would be.
    static MOA_DEVICE PlannedSegment idleSegment(int slot) {
        PlannedSegment planned{};
        planned.segment.slot = maximum(slot, 0);
        planned.segment.window = 1;
        planned.segment.row = maximum(slot, 0);
        planned.segment.runs = slot < 0 ? 0 : 1;
        planned.next = -1;
        planned.fraction = 1;
        return planned;
    }

    /// The first ring with a piece of part `part` or a later one.
    MOA_DEVICE int firstUnit(int slot, int part, int length, int parts) const {
        int low = -1;
        int high = units_;
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            if (piecesOf(slot, middle, length, parts).last < part) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return high;
    }

    /// Pieces of parts `from` .. `to` of a ring.
    MOA_DEVICE PlannedSegment segmentOf(int slot, int unit, const Pieces& pieces, int from, int to, int length, int parts, int used) const {
        const auto pageAt = [&](int part) { return beginOf(part, length, parts) - pieces.place; };
        const Ring ring = ringOf(slot, unit);
        const int pages = geometry_.pagesInUse(tokens_.lengthAfter(slot), ring.window);
        const int splits = pieces.last - pieces.first + 1;
        const int past = from < pieces.last ? static_cast<int>(static_cast<int64_t>(from + 1) * length % parts) : 0;
        const int rest = past == 0 ? 0 : parts - past;
        PlannedSegment planned;
        planned.segment.slot = slot;
        planned.segment.kvHead = unit / cut_.tiles;
        planned.segment.tableOffset = ring.tableOffset;
        planned.segment.window = ring.window;
        planned.segment.pageBegin = from == pieces.first ? 0 : pageAt(from);
        planned.segment.pageEnd = to == pieces.last ? pages : pageAt(to + 1);
        planned.segment.split = from - pieces.first;
        planned.segment.splits = splits;
        planned.segment.firstPartial = get(partialAt(slot)) + pieces.first + unit;
        planned.segment.runs = runsOf(slot, pieces, used);
        planned.segment.firstRow = unit % cut_.tiles * cut_.tileRows;
        planned.segment.row = tokens_.rowOf(slot);
        planned.next = -1;
        planned.firstEnd = from == pieces.last ? pages : pageAt(from + 1);
        planned.step = length / parts;
        planned.fraction = parts | length % parts << PlannedSegment::kBits | rest << 2 * PlannedSegment::kBits;
        return planned;
    }

    /// How many blocks have pieces of a ring: where a part is cheaper than a block's share, no block between the first and the last has none.
    MOA_DEVICE int runsOf(int slot, const Pieces& pieces, int used) const {
        const int64_t total = load(totals());
        const int cost = get(costAt(slot));
        const int before = get(beforeAt(slot)) + cost / 2;
        const auto blockOf = [&](int part) { return static_cast<int>((before + static_cast<int64_t>(part) * cost) * used / total); };
        return static_cast<int64_t>(cost) * used >= total ? pieces.last - pieces.first + 1 : blockOf(pieces.last) - blockOf(pieces.first) + 1;
    }

    /// The first segment of a block goes to the place of its number, the others follow from `rest` on.
    MOA_DEVICE void writeBlock(int block, int used, int rest) const {
        PlannedSegment last = idleSegment(-1);
        int place = block;
        forSegments(block, used, [&](const PlannedSegment& segment, int number) {
            if (number > 0) {
                last.next = rest + number - 1;
                store(place, last);
                place = last.next;
            }
            last = segment;
        });
        store(place, last);
    }

    MOA_DEVICE void store(int place, const PlannedSegment& segment) const {
        union {
            PlannedSegment planned;
            Vec16 words[PlannedSegment::kWords / 4];
        } value{segment};
#pragma unroll
        for (int i = 0; i < PlannedSegment::kWords / 4; ++i) storeGlobal(reinterpret_cast<Vec16*>(segments_ + place) + i, value.words[i]);
    }

    const DecodeCut& cut_;
    const NewTokens& tokens_;
    const Ring* rings_;
    RingGeometry geometry_;
    PlannedSegment* segments_;
    int* scratch_;
    int units_;
    bool isShared_;
};

}  // namespace moa
