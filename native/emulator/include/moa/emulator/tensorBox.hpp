// The bytes of a tensor copy's box as they lie in shared memory: rows of 64 elements of 2 bytes, the 16-byte chunk c of row r at chunk c ^ (r & 7),
// and zeros for what lies outside of the matrix.
#pragma once
#include <moa/emulator/engine.hpp>

namespace moa::emulator {

inline constexpr uint32_t kBoxColumns = 64;
inline constexpr uint32_t kElementBytes = 2;
inline constexpr uint32_t kBoxRowBytes = kBoxColumns * kElementBytes;

/// Reads `bytes` bytes of the box from byte `from` on, both multiples of 16.
MOA_ENGINE_CALL void readBox(const TensorBox& box, uint32_t from, uint32_t bytes, std::byte* to) {
    constexpr uint32_t kChunk = 16, kElements = kChunk / kElementBytes;
    for (uint32_t at = from; at < from + bytes; at += kChunk, to += kChunk) {
        const uint32_t boxRow = at / kBoxRowBytes, chunk = (at % kBoxRowBytes / kChunk) ^ (boxRow & 7);
        const int64_t row = box.row + boxRow, column = box.column + chunk * kElements;
        std::memset(to, 0, kChunk);
        if (row < 0 || static_cast<uint64_t>(row) >= box.rows) continue;
        const int64_t first = column < 0 ? 0 : column;
        const int64_t end = column + kElements < static_cast<int64_t>(box.columns) ? column + kElements : static_cast<int64_t>(box.columns);
        if (first < end)
            std::memcpy(to + (first - column) * kElementBytes, box.matrix + row * box.rowBytes + first * kElementBytes,
                        static_cast<size_t>(end - first) * kElementBytes);
    }
}

}  // namespace moa::emulator
