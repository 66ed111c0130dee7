// Atomic additions of integers. They order nothing else (PTX atom.relaxed): what they count is read behind a barrier or by a later launch.
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Adds to an integer in global memory; returns the old value.
MOA_DEVICE int atomicAddGlobal(int* address, int value) { return atomicAdd(address, value); }

/// The same in the block's shared memory.
MOA_DEVICE int atomicAddShared(SharedAddress address, int value) { return atomicAdd(sharedPointer<int>(address), value); }

}  // namespace moa
