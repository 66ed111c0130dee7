// Which tiles of keys a block of query rows visits. A mask says, for the query at position i, which keys it attends, as
// `kIntervals` half-open intervals [begin<n>(i), end<n>(i)) in rising order, both ends never falling as i grows; the compiler prints it
// into each kernel from src/mask. The sequence here and `src/mask/classifyTiles.ts` are held equal by tests.
#pragma once
#include <moa/integers.cuh>

namespace moa {

/// The tiles of `kColumns` keys that hold an allowed pair for query rows first .. last, from the last tile to the first:
/// beginning at the diagonal, the softmax maximum is finite early. Tiles count from key `origin` on; keys before it are not visited.
template <class Mask, int kColumns>
class TileSequence {
    static constexpr int kTop = Mask::kIntervals - 1;

public:
    MOA_DEVICE TileSequence(const Mask& mask, int firstRow, int lastRow, int origin = 0) {
        add<kTop>(mask, firstRow, lastRow, origin, (lastRow - origin) / kColumns + 1);
    }

    /// How many tiles there are.
    MOA_DEVICE int count() const {
        int tiles = 0;
#pragma unroll
        for (int interval = 0; interval <= kTop; ++interval) tiles += size(interval);
        return tiles;
    }

    /// Tile n of them; n is less than count().
    MOA_DEVICE int at(int n) const {
#pragma unroll
        for (int interval = kTop; interval > 0; --interval) {
            if (n < size(interval)) return end_[interval] - 1 - n;
            n -= size(interval);
        }
        return end_[0] - 1 - n;
    }

private:
    MOA_DEVICE int size(int interval) const { return maximum(0, end_[interval] - begin_[interval]); }

    template <int kInterval>
    MOA_DEVICE void add(const Mask& mask, int firstRow, int lastRow, int origin, int limit) {
        begin_[kInterval] = maximum(0, mask.template begin<kInterval>(firstRow) - origin) / kColumns;
        end_[kInterval] = minimum(limit, ceilDivide(maximum(0, mask.template end<kInterval>(lastRow) - origin), kColumns));
        if constexpr (kInterval > 0) add<kInterval - 1>(mask, firstRow, lastRow, origin, minimum(limit, begin_[kInterval]));
    }

    int begin_[Mask::kIntervals];
    int end_[Mask::kIntervals];
};

/// Whether the query at position i attends the key at position j.
template <class Mask, int kInterval = Mask::kIntervals - 1>
MOA_DEVICE bool allows(const Mask& mask, int i, int j) {
    const bool here = mask.template begin<kInterval>(i) <= j && j < mask.template end<kInterval>(i);
    if constexpr (kInterval == 0) {
        return here;
    } else {
        return here || allows<Mask, kInterval - 1>(mask, i, j);
    }
}

/// Whether a row of first .. last attends a key of [begin, end), or might: no for tiles that hold no allowed pair.
template <class Mask, int kInterval = Mask::kIntervals - 1>
MOA_DEVICE bool allowsAny(const Mask& mask, int first, int last, int begin, int end) {
    const bool here = mask.template begin<kInterval>(first) < end && begin < mask.template end<kInterval>(last);
    if constexpr (kInterval == 0) {
        return here;
    } else {
        return here || allowsAny<Mask, kInterval - 1>(mask, first, last, begin, end);
    }
}

/// Whether rows first .. last attend every key of [begin, end): such a tile needs no mask.
template <class Mask, int kInterval = Mask::kIntervals - 1>
MOA_DEVICE bool allowsAll(const Mask& mask, int first, int last, int begin, int end) {
    const bool here = mask.template begin<kInterval>(last) <= begin && end <= mask.template end<kInterval>(first);
    if constexpr (kInterval == 0) {
        return here;
    } else {
        return here || allowsAll<Mask, kInterval - 1>(mask, first, last, begin, end);
    }
}

}  // namespace moa
