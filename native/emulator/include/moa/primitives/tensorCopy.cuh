// Copies of a box of a matrix in global memory to shared memory, in the 128-byte swizzle (PTX cp.async.bulk.tensor, sm_90). The host describes the
// matrix in a tensor map: elements of 2 bytes, a box of some rows x 64 columns. Rows and columns outside of the matrix are zeros. In shared memory a
// box is rows of 128 bytes; the 16-byte chunk c of row r lies at chunk c ^ (r & 7).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// A parameter of the kernel: its address is what the copy is given. It begins with a TensorMapImage.
struct alignas(64) TensorMap {
    unsigned char bytes[128];
};

/// What the L2 cache should do with what was read: normal; give it up first; keep it.
enum class KeepInCache : uint64_t { normal = 0x1000000000000000, first = 0x12F0000000000000, last = 0x14F0000000000000 };

/// Makes the description ready for use. By one thread.
MOA_PRIMITIVE void prefetchTensorMap(const TensorMap& map, emulator::Site site = emulator::Site::current()) {
    emulator::TensorMapImage image;
    emulator::readTensorMap(emulator::engine(), "prefetchTensorMap", &map, image, site);
}

/// Starts the copy of the box whose first element is (row, column); `to` is 1024-byte aligned, and the box's bytes, all of them, complete in the current
/// phase of `barrier`. By one thread. Until the phase completes the destination is NaN, or by seed what was copied.
template <KeepInCache kKeep = KeepInCache::normal>
MOA_PRIMITIVE void tensorCopy(SharedAddress to, const TensorMap& map, int row, int column, SharedAddress barrier,
                              emulator::Site site = emulator::Site::current()) {
    emulator::issueTensorCopy(emulator::engine(), to, &map, row, column, barrier, site);
    emulator::preemptLane(emulator::engine());
}

}  // namespace moa
