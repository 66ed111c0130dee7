// The list of prefill's work items for one class of layers, made by one block of threads. Its specification is
// test/spec/prefillPlan.ts: the same words in the same order.
//
// An item is a block of query rows of one head of one sequence, or one of two parts of it, and costs as many pages as
// its rows visit. A unit is the query heads of one KV head of one sequence: they read the same keys and values. The
// order is
//
//   sections   runs of the units, the most expensive units first. A section ends where every block of the device has an
//              item, or where the keys and values of another unit would not fit in the L2 cache. In a section the most
//              expensive item comes first. No more items than blocks are one section: they all run at once.
//   the tail   the cheapest items of all, so many that they keep every block busy as long as one works on the most
//              expensive item. They come last, again the most expensive first, so that all blocks end at about the same
//              time.
//
// Equal ones stay in the order of sequences, heads and blocks of rows, the second of two parts behind all others. Costs
// of more than 8 bits are compared by their uppermost bits, as many as the largest one needs to have 8. How it is
// computed:
//
//   sequences  those with enough new tokens, and how many items lie before each one's
//   pages      a thread has a strip of 4 blocks of rows of a head; prefix sums over the strips give the cost of every
//              unit
//   splits     an item that is a large part of its sequence's cost becomes two
//   sections   units are sorted by cost. For each one a search finds where a section would end that begins there, and
//              one thread follows these ends from the first unit on.
//   order      items are sorted by cost, the tail is cut off, and the rest is sorted by section
//
// Limits: sequences of at most 2^24 tokens, fewer than 2^12 blocks, at least 16 rows.
#pragma once
#include <climits>

#include <moa/plan/blockScan.cuh>
#include <moa/prefill/keyPages.cuh>
#include <moa/primitives/anyMemory.cuh>

namespace moa {

/// What a list is made from. Arrays lie in global memory.
struct PrefillPlanInput {
    const int* cuSeqlens;  ///< [slots + 1] first new token of each slot, and the end of the last; they never fall
    const int* cached;     ///< [slots] tokens in the cache; -1: no sequence, the slot has no items
    const int* windows;    ///< [slots][queryHeads] tokens
    const Ring* rings;     ///< [slots][kvHeads]
    int slots;
    int queryHeads;        ///< a multiple of kvHeads
    int kvHeads;
    int fewest;            ///< a sequence with fewer new tokens than this has no items; 0 is as 1
    int sink;              ///< tokens
    int rows;              ///< query rows of an item
    int blocks;            ///< that run at once on the device
    int sectionTokens;     ///< of which keys and values of one head fit in a section, at most kMostSectionTokens
    int splitPages;        ///< an item of at most so many pages is not split; kNoSplits where the kernel cannot
    int splitNumerator;    ///< nor is one that is at most this part of a block's share of its sequence
    int splitDenominator;
    int byCost;            ///< 0: the order is by the position of rows alone, and no item is split

    static constexpr int kMostSectionTokens = 1 << 20;
    static constexpr int kNoSplits = INT_MAX;
};

/// What a list has.
struct alignas(8) PrefillPlanSize {
    int64_t pages;  ///< that all items visit together
    int count;      ///< items
    int parts;      ///< items that are one of two: parts 2n and 2n + 1 are the same rows
    int overflow;   ///< 1: there are more items than the list has space for; the other numbers are 0 then
    int unused;
};

struct PrefillPlanOutput {
    PrefillItem* items;
    int capacity;  ///< items
    PrefillPlanSize* size;
    void* scratch;  ///< PrefillPlanScratch::bytes, aligned to 16
};

/// A sequence with items: where they are.
struct alignas(16) PlanSequence {
    int firstStrip;
    int firstItem;
    int blocks;  ///< of rows
    int slot;
};

/// Its tokens.
struct alignas(16) PlanTokens {
    int first;
    int length;
    int cached;
    int unused;
};

/// A unit: what it costs.
struct alignas(16) PlanUnit {
    int64_t end;  ///< pages of all units up to this one
    int tokens;   ///< whose keys and values it reads
    int items;    ///< before any is split
};

/// Its ring.
struct alignas(16) PlanRing {
    int tableOffset;
    int window;
    int newest;
    int sequence;
};

/// What the plan keeps in global memory, less than 4 GiB. Lists of sequences and sections lie there only where they are
/// too long for shared memory.
class PrefillPlanScratch {
public:
    /// Bytes for so many slots and heads and for a list of at most `items` items.
    static constexpr int64_t bytes(int64_t slots, int64_t kvHeads, [[maybe_unused]] int64_t queryHeads, int64_t items) {
        const int64_t units = slots * kvHeads;
        return (slots * kSlotBytes + units * kUnitBytes + kUnitListEnds + items * (kItemLists * 4) + 15) / 16 * 16;
    }

    MOA_DEVICE PrefillPlanScratch(void* scratch, int slots, int kvHeads, int items)
        : begin_(static_cast<unsigned char*>(scratch)), slots_(slots), units_(slots_ * kvHeads), items_(items) {}

    MOA_DEVICE PlanSequence* sequences() const { return at<PlanSequence>(0); }
    MOA_DEVICE PlanTokens* tokens() const { return at<PlanTokens>(slots_ * 16); }
    MOA_DEVICE PlanUnit* units() const { return at<PlanUnit>(slots_ * 32); }
    MOA_DEVICE PlanRing* rings() const { return at<PlanRing>(slots_ * 32 + units_ * 16); }
    /// [slots] pages of a sequence, times the numerator of the share that an item may have without being split.
    MOA_DEVICE int64_t* shares() const { return at<int64_t>(slots_ * 32 + units_ * 32); }
    /// [units] the section of each unit.
    MOA_DEVICE int* sectionOf() const { return at<int>(slots_ * kSlotBytes + units_ * 32); }
    /// [units + 1] list 0 to 2, in the order of sections.
    MOA_DEVICE int* unitList(uint32_t list) const {
        return at<int>(slots_ * kSlotBytes + units_ * 36 + (units_ + 1) * 4 * list);
    }

    /// [items] pages.
    MOA_DEVICE int* costs() const { return itemList(0); }
    /// [items] number of the unit.
    MOA_DEVICE int* unitOf() const { return itemList(1); }
    /// [items] number of the part or PrefillItem::kWhole, where an item is split; of a second part, its first. Where
    /// items are sorted by their rows, these.
    MOA_DEVICE int* parts() const { return itemList(2); }
    /// [items] items or units in some order, list 0 or 1; and a third one for the sort.
    MOA_DEVICE int* numbers(uint32_t list) const { return itemList(3 + list); }

private:
    static constexpr int kSlotBytes = 40;
    static constexpr int kUnitBytes = 48;
    static constexpr int kUnitListEnds = 3 * 4;
    static constexpr int kItemLists = 6;

    template <class T>
    MOA_DEVICE T* at(uint32_t bytes) const {
        return reinterpret_cast<T*>(begin_ + bytes);
    }
    MOA_DEVICE int* itemList(uint32_t list) const {
        return at<int>(slots_ * kSlotBytes + units_ * kUnitBytes + kUnitListEnds + items_ * 4 * list);
    }

    unsigned char* begin_;
    uint32_t slots_, units_, items_;
};

/// How many pages a `KeyPages` of these rows has.
template <class Mask>
MOA_DEVICE int countKeyPages(const Mask& mask, const RingTokens& ring, int window, int firstRow, int lastRow) {
    const int cached = ring.cached;
    const int own = TileSequence<Mask, kPageTokens>(mask, cached + firstRow, cached + lastRow, cached).count();
    return cached == 0 ? own : own + ring.sinkPages() + ring.visitedPages(firstRow, window);
}

template <class Mask, int kThreads>
class PrefillPlan {
    using Scan = BlockScan<kThreads>;
    using Sort = BlockSort<kThreads>;

    /// Slots and units up to which all about them that is searched lies in shared memory.
    static constexpr int kSlots = 192;
    static constexpr int kUnits = 2048;
    /// Blocks of rows of one head that one thread counts the pages of: what it needs to know about the head is worked
    /// out once for them.
    static constexpr int kStrip = 4;
    /// Bits of costs that are compared: as many as one digit of the sort has.
    static constexpr int kKeyBits = Sort::kDigitBits;

    /// One place for the counts of a sort, and between sorts for lists of units.
    static constexpr int kListBytes = (kUnits + 1) * 4;
    static constexpr int kWorkBytes = (maximum(Sort::kSharedBytes, 3 * kListBytes) + 15) / 16 * 16;
    static constexpr int kSequencesAt = kWorkBytes;
    static constexpr int kTokensAt = kSequencesAt + kSlots * 16;
    static constexpr int kSectionsAt = kTokensAt + kSlots * 16;
    static constexpr int kScanAt = kSectionsAt + kUnits * 4;

public:
    /// Of shared memory, aligned to 16.
    static constexpr int kSharedBytes = kScanAt + Scan::kSharedBytes;
    static_assert(kSharedBytes <= 48 * 1024, "no kernel has to ask for more shared memory than any may have");

    /// By all threads of one block. `shared` has kSharedBytes.
    static MOA_DEVICE void run(const PrefillPlanInput& input, const PrefillPlanOutput& output, SharedAddress shared) {
        PrefillPlan(input, output, shared).plan();
    }

private:
    /// What numbers are sorted by.
    enum class Order { unitCost, itemCost, row, section };

    MOA_DEVICE PrefillPlan(const PrefillPlanInput& input, const PrefillPlanOutput& output, SharedAddress shared)
        : in_(input),
          out_(output),
          shared_(shared),
          scratch_(output.scratch, input.slots, input.kvHeads, output.capacity),
          scan_(shared + kScanAt) {}

    MOA_DEVICE void plan() {
        if (!findSequences()) return writeSize(1);
        if (items_ == 0) return writeSize(0);
        countPages();
        if (in_.byCost != 0 && !splitItems()) return writeSize(1);
        Order order = in_.byCost == 0 ? Order::row : items_ > in_.blocks ? Order::unitCost : Order::itemCost;
        int most = order == Order::row ? mostBlocks_ - 1 : order == Order::unitCost ? costUnits() : mostPages_;
        int numbers = Sort::kRising;
        int front = count();
        // One sort in a loop: by what is known when it runs, so that its instructions are there once.
#pragma unroll 1
        for (;;) {
            findLists();
            const Keys keys = keysOf(order);
            const int shift = keys.areCosts ? maximum(0, bitsOf(most) - kKeyBits) : 0;
            const int top = most >> shift;
            const auto keyOf = [&](int number) {
                const int index = keys.indices == nullptr ? number : loadGlobal(keys.indices + number);
                const int key = keys.values.load(index) >> shift;
                return order == Order::section ? key : top - key;
            };
            Sort sort(scan_, shared_, scratch_.numbers(0), out_.capacity);
            const int sortedCount = order == Order::unitCost ? units_ : front;
            const int sorted = sort.sort(numbers, sortedCount, bitsOf(top), order == Order::section ? 1 : 0, keyOf);
            findLists();
            if (order == Order::unitCost) {
                findSections(scratch_.numbers(sorted));
                order = Order::itemCost;
                most = mostPages_;
            } else if (order == Order::itemCost && sections_ > 1) {
                front = count() - tailOf(scratch_.numbers(sorted));
                numbers = sorted;
                order = Order::section;
                most = sections_ - 1;
            } else {
                return writeItems(scratch_.numbers(sorted), scratch_.numbers(0), front);
            }
        }
    }

    /// Works out again where lists lie, so that it doesn't take registers all the time.
    MOA_DEVICE void findLists() {
        scratch_ = PrefillPlanScratch(out_.scratch, opaque(in_.slots), in_.kvHeads, out_.capacity);
    }

    /// What numbers are sorted by: `values` of themselves, or of `indices` of themselves. Those of sections rise,
    /// others fall.
    struct Keys {
        AnyArray<int> values;
        const int* indices;
        bool areCosts;
    };

    /// Costs have one digit, so that the second list of numbers is free: the costs of units lie there.
    MOA_DEVICE Keys keysOf(Order order) const {
        const auto global = [](int* values) { return AnyArray<int>::ofGlobal(values); };
        if (order == Order::section) return Keys{sectionOf(), scratch_.unitOf(), false};
        if (order == Order::row) return Keys{global(scratch_.parts()), nullptr, false};
        if (order == Order::unitCost) return Keys{global(scratch_.numbers(1)), nullptr, true};
        return Keys{global(scratch_.costs()), nullptr, true};
    }

    template <class T>
    MOA_DEVICE AnyArray<T> arrayOf(bool fits, int at, T* global) const {
        return fits ? AnyArray<T>::ofShared(shared_ + at) : AnyArray<T>::ofGlobal(global);
    }
    MOA_DEVICE AnyArray<PlanSequence> sequences() const {
        return arrayOf(in_.slots <= kSlots, kSequencesAt, scratch_.sequences());
    }
    MOA_DEVICE AnyArray<PlanTokens> tokens() const {
        return arrayOf(in_.slots <= kSlots, kTokensAt, scratch_.tokens());
    }
    MOA_DEVICE AnyArray<int> sectionOf() const {
        return arrayOf(units_ <= kUnits, kSectionsAt, scratch_.sectionOf());
    }
    template <class T = int>
    MOA_DEVICE AnyArray<T> unitList(int list) const {
        return arrayOf(units_ <= kUnits, list * kListBytes, reinterpret_cast<T*>(scratch_.unitList(list)));
    }
    MOA_DEVICE int costOf(int item) const { return loadGlobal(scratch_.costs() + item); }
    /// Items of the list.
    MOA_DEVICE int count() const { return items_ + pairs_; }
    MOA_DEVICE int mostItems() const { return minimum(out_.capacity, Sort::kMostNumbers); }

    /// Of numbers that are not negative: a division that knows it is shorter.
    static MOA_DEVICE int quotient(int a, int b) {
        return static_cast<int>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b));
    }
    static MOA_DEVICE int stripsOf(int blocks) { return quotient(blocks + kStrip - 1, kStrip); }
    /// The window slot of the newest of `tokens` tokens behind the sink.
    static MOA_DEVICE int newestSlot(int tokens, int ringWindow) {
        return static_cast<int>(static_cast<uint32_t>(tokens - 1) % static_cast<uint32_t>(ringWindow));
    }

    /// Two sums at once are one of numbers of 64 bits: the lower one has less than 32 and does not carry over.
    static MOA_DEVICE int64_t bothOf(int high, int low) { return int64_t{high} << 32 | low; }
    static MOA_DEVICE int lowOf(int64_t both) { return static_cast<int>(both); }
    static MOA_DEVICE int highOf(int64_t both) { return static_cast<int>(both >> 32); }

    /// The sequences that have items; false: too many.
    MOA_DEVICE bool findSequences() {
        int blocks = 0, strips = 0;
#pragma unroll 1
        for (int firstSlot = 0; firstSlot < in_.slots; firstSlot += kThreads) {
            const int slot = firstSlot + threadIndex();
            PlanTokens own{0, 0, -1, 0};
            if (slot < in_.slots) {
                own.first = loadGlobal(in_.cuSeqlens + slot);
                own.length = loadGlobal(in_.cuSeqlens + slot + 1) - own.first;
                own.cached = loadGlobal(in_.cached + slot);
            }
            const bool isSequence = own.cached >= 0 && own.length >= maximum(1, in_.fewest);
            const int ownBlocks = isSequence ? quotient(own.length + in_.rows - 1, in_.rows) : 0;
            const Prefix<int> sequence = scan_.count(isSequence);
            const Prefix<int64_t> both = scan_.prefix(bothOf(ownBlocks, stripsOf(ownBlocks)));
            if (isSequence) {
                const int number = sequenceCount_ + sequence.before;
                const int firstStrip = (strips + lowOf(both.before)) * in_.queryHeads;
                const int firstItem = (blocks + highOf(both.before)) * in_.queryHeads;
                sequences().store(number, PlanSequence{firstStrip, firstItem, ownBlocks, slot});
                tokens().store(number, own);
            }
            mostBlocks_ = maximum(mostBlocks_, ownBlocks);
            sequenceCount_ += sequence.total;
            blocks += highOf(both.total);
            strips += lowOf(both.total);
        }
        blockBarrier();
        units_ = sequenceCount_ * in_.kvHeads;
        items_ = blocks * in_.queryHeads;
        strips_ = strips * in_.queryHeads;
        return int64_t{blocks} * in_.queryHeads <= mostItems();
    }

    /// The pages of each item and its unit; of units the sums of pages up to the end of each.
    MOA_DEVICE void countPages() {
        const int group = quotient(in_.queryHeads, in_.kvHeads);
        int64_t pagesBefore = 0;
#pragma unroll 1
        for (int firstStrip = 0; firstStrip < strips_; firstStrip += kThreads) {
            const int strip = firstStrip + threadIndex();
            PlanUnit unit{0, 0, 0};
            int pages = 0, endsUnit = -1;
            if (strip < strips_) {
                const auto firstOf = [this](int n) { return sequences().load(n).firstStrip; };
                const int number = lastAtMost(strip, sequenceCount_, firstOf);
                const PlanSequence sequence = sequences().load(number);
                const PlanTokens own = tokens().load(number);
                const int strips = stripsOf(sequence.blocks);
                const int head = quotient(strip - sequence.firstStrip, strips);
                const int stripOfHead = strip - sequence.firstStrip - head * strips;
                const int kvHead = quotient(head, group);
                const Ring ring = loadGlobal(in_.rings + (sequence.slot * in_.kvHeads + kvHead));
                const int newest = own.cached > in_.sink ? newestSlot(own.cached - in_.sink, ring.window) : 0;
                const RingTokens held{RingGeometry{in_.sink}, own.cached, ring.window, newest};
                const int unitNumber = number * in_.kvHeads + kvHead;
                pages = countStrip(sequence, own.length, held, head, unitNumber, stripOfHead * kStrip);
                if (stripOfHead == strips - 1 && head == (kvHead + 1) * group - 1) {
                    endsUnit = unitNumber;
                    unit.tokens = own.length + minimum(own.cached, in_.sink + ring.window);
                    unit.items = sequence.blocks * group;
                    const PlanRing known{ring.tableOffset, ring.window, newest, number};
                    storeGlobal(scratch_.rings() + unitNumber, known);
                }
            }
            const Prefix<int> sum = scan_.prefix(pages);
            unit.end = pagesBefore + sum.before + pages;
            if (endsUnit >= 0) storeGlobal(scratch_.units() + endsUnit, unit);
            pagesBefore += sum.total;
        }
        if (threadIndex() == 0) storeGlobal(&out_.size->pages, pagesBefore);
        mostPages_ = scan_.largest(mostPages_);
        if (in_.byCost == 0) mostBlocks_ = scan_.largest(mostBlocks_);
    }

    /// The last n below `count` for which `numberOf(n)` is at most `value`, as it is for 0. The numbers never fall.
    template <class NumberOf>
    static MOA_DEVICE int lastAtMost(int value, int count, const NumberOf& numberOf) {
        int from = 0, to = count;
#pragma unroll 1
        while (to - from > 1) {
            const int middle = (from + to) >> 1;
            if (numberOf(middle) <= value)
                from = middle;
            else
                to = middle;
        }
        return from;
    }

    /// The blocks from `firstBlock` on; returns their pages.
    MOA_DEVICE int countStrip(const PlanSequence& sequence, int length, const RingTokens& ring, int head, int unit,
                              int firstBlock) {
        const int window = loadGlobal(in_.windows + (sequence.slot * in_.queryHeads + head));
        const int firstItem = sequence.firstItem + head * sequence.blocks;
        const int end = minimum(sequence.blocks, firstBlock + kStrip);
        int sum = 0;
#pragma unroll 1
        for (int block = firstBlock; block < end; ++block) {
            const int item = firstItem + block;
            const int firstRow = block * in_.rows;
            const int lastRow = minimum(firstRow + in_.rows, length) - 1;
            const int pages = countKeyPages(Mask{window}, ring, window, firstRow, lastRow);
            storeGlobal(scratch_.costs() + item, pages);
            storeGlobal(scratch_.unitOf() + item, unit);
            if (in_.byCost == 0) storeGlobal(scratch_.parts() + item, block);
            mostPages_ = maximum(mostPages_, pages);
            sum += pages;
        }
        return sum;
    }

    /// Pages of all units before this one.
    MOA_DEVICE int64_t pagesBefore(int unit) const {
        return unit == 0 ? 0 : loadGlobal(&scratch_.units()[unit - 1].end);
    }

    /// Items that are a large part of what a block has to do for their sequence become two of half the pages, the first
    /// of whole tiles of two pages, so that blocks can end together. Other sequences have no say: the results of a
    /// sequence are the same in every batch. Second parts stand behind all other items. False: too many items.
    MOA_DEVICE bool splitItems() {
        const int fewest = maximum(2, in_.splitPages);
        if (mostPages_ <= fewest) return true;
        const int64_t scale = int64_t{in_.blocks} * in_.splitDenominator;
        bool any = false;
#pragma unroll 1
        for (int sequence = threadIndex(); sequence < sequenceCount_; sequence += kThreads) {
            const int firstUnit = sequence * in_.kvHeads;
            const int64_t share = (pagesBefore(firstUnit + in_.kvHeads) - pagesBefore(firstUnit)) * in_.splitNumerator;
            storeGlobal(scratch_.shares() + sequence, share);
            any = any || mostPages_ * scale > share;
        }
        if (scan_.count(any).total == 0) return true;
#pragma unroll 1
        for (int first = 0; first < items_; first += kThreads) {
            const int item = first + threadIndex();
            int pages = 0, unit = 0;
            bool splits = false;
            if (item < items_) {
                pages = costOf(item);
                unit = loadGlobal(scratch_.unitOf() + item);
                const int sequence = loadGlobal(&scratch_.rings()[unit].sequence);
                splits = pages > fewest && pages * scale > loadGlobal(scratch_.shares() + sequence);
                if (!splits) storeGlobal(scratch_.parts() + item, int{PrefillItem::kWhole});
            }
            const Prefix<int> pair = scan_.count(splits);
            const int number = pairs_ + pair.before;
            if (splits && number < mostItems() - items_) {
                const int firstPages = 2 * ceilDivide(pages, 4);
                const int second = items_ + number;
                storeGlobal(scratch_.costs() + item, firstPages);
                storeGlobal(scratch_.parts() + item, 2 * number);
                storeGlobal(scratch_.costs() + second, pages - firstPages);
                storeGlobal(scratch_.unitOf() + second, unit);
                storeGlobal(scratch_.parts() + second, item);
            }
            pairs_ += pair.total;
        }
        blockBarrier();
        return pairs_ <= mostItems() - items_;
    }

    /// What units cost, as far as they are told apart; returns the largest.
    MOA_DEVICE int costUnits() {
        int most = 0;
#pragma unroll 1
        for (int unit = threadIndex(); unit < units_; unit += kThreads) {
            const int64_t pages = pagesBefore(unit + 1) - pagesBefore(unit);
            const int known = pages < INT_MAX ? static_cast<int>(pages) : INT_MAX;
            storeGlobal(scratch_.numbers(1) + unit, known);
            most = maximum(most, known);
        }
        return scan_.largest(most);
    }

    /// Lists of units in the order of sections, with one place more. What is not needed any more makes space for
    /// others.
    enum UnitList { kTokensBefore = 0, kItemsBefore = 1, kEnds = 2, kBegins = 0 };

    /// The section of each unit: they are runs of `order`.
    MOA_DEVICE void findSections(const int* order) {
        sumUnits(order);
        findEnds();
        const AnyArray<int> begins = unitList(kBegins), ends = unitList(kEnds), ofUnit = sectionOf();
        // A step for each section is a load and a store, and the device works on a section for much longer.
        if (threadIndex() == 0) {
            int count = 0;
#pragma unroll 1
            for (int begin = 0; begin < units_; begin = ends.load(begin)) begins.store(count++, begin);
            ends.store(units_, count);
        }
        blockBarrier();
        sections_ = ends.load(units_);
#pragma unroll 1
        for (int place = threadIndex(); place < units_; place += kThreads) {
            const int section = lastAtMost(place, sections_, [&](int n) { return begins.load(n); });
            ofUnit.store(loadGlobal(order + place), section);
        }
        blockBarrier();
    }

    /// Tokens and items of all units before each one, and tokens of all. Tokens have 32 bits: it is differences of few
    /// units that count.
    MOA_DEVICE void sumUnits(const int* order) {
        const AnyArray<uint32_t> tokensBefore = unitList<uint32_t>(kTokensBefore);
        const AnyArray<int> itemsBefore = unitList(kItemsBefore);
        uint32_t tokens = 0;
        int items = 0;
#pragma unroll 1
        for (int first = 0; first < units_; first += kThreads) {
            const int place = first + threadIndex();
            int64_t own = 0;
            if (place < units_) {
                const PlanUnit unit = loadGlobal(scratch_.units() + loadGlobal(order + place));
                // One that does not fit is alone in its section, however long it is.
                own = bothOf(unit.items, minimum(unit.tokens, in_.sectionTokens + 1));
            }
            const Prefix<int64_t> both = scan_.prefix(own);
            if (place < units_) {
                tokensBefore.store(place, tokens + static_cast<uint32_t>(lowOf(both.before)));
                itemsBefore.store(place, items + highOf(both.before));
            }
            tokens += static_cast<uint32_t>(lowOf(both.total));
            items += highOf(both.total);
        }
        if (threadIndex() == 0) tokensBefore.store(units_, tokens);
        blockBarrier();
    }

    /// Where a section ends that begins at a unit: it takes another one as long as it has fewer items than there are
    /// blocks, and the other's tokens fit.
    MOA_DEVICE void findEnds() {
        const AnyArray<uint32_t> tokensBefore = unitList<uint32_t>(kTokensBefore);
        const AnyArray<int> itemsBefore = unitList(kItemsBefore), ends = unitList(kEnds);
#pragma unroll 1
        for (int begin = threadIndex(); begin < units_; begin += kThreads) {
            const int items = itemsBefore.load(begin);
            const uint32_t tokens = tokensBefore.load(begin);
            // Unit `from` is in the section, unit `to` is not: each has an item, so as many units as blocks are too
            // many.
            int from = begin, to = begin + minimum(units_ - begin, in_.blocks);
#pragma unroll 1
            while (to - from > 1) {
                const int middle = (from + to) >> 1;
                const bool takesMore = itemsBefore.load(middle) - items < in_.blocks;
                const uint32_t held = tokensBefore.load(middle + 1) - tokens;
                if (takesMore && held <= static_cast<uint32_t>(in_.sectionTokens))
                    from = middle;
                else
                    to = middle;
            }
            ends.store(begin, to);
        }
        blockBarrier();
    }

    /// How many of the items are in the tail: they are the last in the order of cost.
    MOA_DEVICE int tailOf(const int* byCost) {
        int64_t missing = int64_t{in_.blocks} * costOf(loadGlobal(byCost));
#pragma unroll 1
        for (int end = count(); end > 0; end -= kThreads) {
            const int index = end - 1 - threadIndex();
            const int pages = index >= 0 ? costOf(loadGlobal(byCost + index)) : 0;
            const Prefix<int> sum = scan_.prefix(pages);
            if (sum.total >= missing) {
                const bool isFirst = sum.before < missing && sum.before + pages >= missing;
                return count() - scan_.largest(isFirst ? index : 0);
            }
            missing -= sum.total;
        }
        return count();
    }

    MOA_DEVICE PrefillItem itemOf(int number) const {
        const bool isSecond = number >= items_;
        const int item = isSecond ? loadGlobal(scratch_.parts() + number) : number;
        const PlanRing ring = loadGlobal(scratch_.rings() + loadGlobal(scratch_.unitOf() + item));
        const PlanSequence sequence = sequences().load(ring.sequence);
        const PlanTokens own = tokens().load(ring.sequence);
        const int itemOfSequence = item - sequence.firstItem;
        const int head = quotient(itemOfSequence, sequence.blocks);
        PrefillItem result;
        result.firstToken = own.first;
        result.length = own.length;
        result.queryBlock = itemOfSequence - head * sequence.blocks;
        result.head = head;
        result.window = loadGlobal(in_.windows + (sequence.slot * in_.queryHeads + head));
        result.cached = own.cached;
        result.tableOffset = ring.tableOffset;
        result.ringWindow = ring.window;
        result.firstPage = isSecond ? costOf(item) : 0;
        result.pages = costOf(number);
        result.part = PrefillItem::kWhole;
        if (pairs_ > 0) result.part = isSecond ? 2 * (number - items_) + 1 : loadGlobal(scratch_.parts() + number);
        result.newest = ring.newest;
        return result;
    }

    /// The items whose numbers are the first `front` of one list, and then those of another.
    MOA_DEVICE void writeItems(const int* frontList, const int* list, int front) {
#pragma unroll 1
        for (int index = threadIndex(); index < count(); index += kThreads) {
            const PrefillItem item = itemOf(loadGlobal((index < front ? frontList : list) + index));
            const auto store = [&](int vector, int a, int b, int c, int d) {
                const auto word = [](int value) { return static_cast<uint32_t>(value); };
                Vec16* const to = reinterpret_cast<Vec16*>(out_.items + index) + vector;
                storeGlobal(to, Vec16{{word(a), word(b), word(c), word(d)}});
            };
            store(0, item.firstToken, item.length, item.queryBlock, item.head);
            store(1, item.window, item.cached, item.tableOffset, item.ringWindow);
            store(2, item.firstPage, item.pages, item.part, item.newest);
        }
        writeSize(0);
    }

    /// All but the pages, where there are any.
    MOA_DEVICE void writeSize(int overflow) const {
        if (threadIndex() != 0) return;
        const bool any = overflow == 0 && items_ > 0;
        if (!any) storeGlobal(&out_.size->pages, int64_t{0});
        storeGlobal(&out_.size->count, any ? count() : 0);
        storeGlobal(&out_.size->parts, any ? 2 * pairs_ : 0);
        storeGlobal(&out_.size->overflow, overflow);
    }

    const PrefillPlanInput& in_;
    const PrefillPlanOutput& out_;
    SharedAddress shared_;
    PrefillPlanScratch scratch_;
    Scan scan_;
    int sequenceCount_ = 0;
    int units_ = 0;
    int strips_ = 0;
    int items_ = 0;       // before any is split
    int pairs_ = 0;       // items that are split
    int mostPages_ = 0;   // of an item, before any is split
    int mostBlocks_ = 0;  // of rows, of a sequence
    int sections_ = 1;
};

}  // namespace moa
