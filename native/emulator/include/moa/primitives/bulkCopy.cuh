// Copies of any number of bytes from global to shared memory, started by one thread and counted by a barrier in shared memory
// (PTX cp.async.bulk, sm_90).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Starts a copy of `bytes` bytes, which complete in the current phase of `barrier`. Addresses and size are multiples of 16. By one thread.
/// Until the phase completes the destination is NaN, or by seed what was copied.
MOA_PRIMITIVE void bulkCopy(SharedAddress to, const void* from, uint32_t bytes, SharedAddress barrier,
                            emulator::Site site = emulator::Site::current()) {
    emulator::issueBulkCopy(emulator::engine(), to, from, bytes, barrier, site);
    emulator::preemptLane(emulator::engine());
}

/// The same for data that is read once: it is the first that the L2 cache gives up.
MOA_PRIMITIVE void bulkCopyOnce(SharedAddress to, const void* from, uint32_t bytes, SharedAddress barrier,
                                emulator::Site site = emulator::Site::current()) {
    emulator::issueBulkCopy(emulator::engine(), to, from, bytes, barrier, site);
    emulator::preemptLane(emulator::engine());
}

/// Orders this thread's plain accesses to shared memory before bulk copies that are issued later, by it or after a barrier by another.
MOA_PRIMITIVE void asyncProxyFence() { ++emulator::engine().running->proxyFences; }

}  // namespace moa
