// Which tiles of keys a block of query rows visits. A mask says, for the query at position i, which keys it attends, as
// `kIntervals` half-open intervals [begin<n>(i), end<n>(i)) in rising order, both ends never falling as i grows; the compiler prints it
// into each kernel from src/mask. The sequence here and `src/mask/classifyTiles.ts` are held equal by tests.
#pragma once
#include <moa/integers.cuh>

namespace moa {

/// The tiles of `kColumns` keys that hold an allowed pair for query rows first .. last, from the last tile to the first:
/// beginning at the diagonal, the softmax maximum is finite early. `for (int t = s.last(); t >= 0; t = s.before(t))`.
template <class Mask, int kColumns>
class TileSequence {
    static constexpr int kTop = Mask::kIntervals - 1;

public:
    MOA_DEVICE TileSequence(const Mask& mask, int firstRow, int lastRow) { add<kTop>(mask, firstRow, lastRow, lastRow / kColumns + 1); }

    /// The first tile to visit: the one with the largest keys.
    MOA_DEVICE int last() const { return end_[kTop] - 1; }

    /// The tile to visit after `tile`, or -1.
    MOA_DEVICE int before(int tile) const {
        --tile;
        if (tile >= begin_[kTop]) return tile;
#pragma unroll
        for (int interval = kTop - 1; interval >= 0; --interval) {
            if (tile >= begin_[interval]) return minimum(tile, end_[interval] - 1);
        }
        return -1;
    }

private:
    template <int kInterval>
    MOA_DEVICE void add(const Mask& mask, int firstRow, int lastRow, int limit) {
        begin_[kInterval] = mask.template begin<kInterval>(firstRow) / kColumns;
        end_[kInterval] = minimum(limit, ceilDivide(mask.template end<kInterval>(lastRow), kColumns));
        if constexpr (kInterval > 0) add<kInterval - 1>(mask, firstRow, lastRow, minimum(limit, begin_[kInterval]));
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

/// The mask of one row, relative to a key: constants are compared with bounds, one comparison each.
template <class Mask>
class RowBounds {
public:
    MOA_DEVICE RowBounds(const Mask& mask, int i, int key) { set<0>(mask, i, key); }

    /// Whether the row attends the key at position key + offset.
    MOA_DEVICE bool allows(int offset) const {
        bool allowed = false;
#pragma unroll
        for (int interval = 0; interval < Mask::kIntervals; ++interval) allowed = allowed || (begin_[interval] <= offset && offset < end_[interval]);
        return allowed;
    }

private:
    template <int kInterval>
    MOA_DEVICE void set(const Mask& mask, int i, int key) {
        begin_[kInterval] = mask.template begin<kInterval>(i) - key;
        end_[kInterval] = mask.template end<kInterval>(i) - key;
        if constexpr (kInterval + 1 < Mask::kIntervals) set<kInterval + 1>(mask, i, key);
    }

    int begin_[Mask::kIntervals];
    int end_[Mask::kIntervals];
};

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
