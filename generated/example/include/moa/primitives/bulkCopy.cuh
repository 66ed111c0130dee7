// Copies of any number of bytes from global to shared memory, started by one thread and counted by a barrier in shared memory
// (PTX cp.async.bulk, sm_90). A kernel that calls any of it does not assemble below sm_90.
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Starts a copy of `bytes` bytes, which complete in the current phase of `barrier`. Addresses and size are multiples of 16. By one thread.
MOA_DEVICE void bulkCopy(SharedAddress to, const void* from, uint32_t bytes, SharedAddress barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier)
                 : "memory");
}

/// The same for data that is read once: it is the first that the L2 cache gives up.
MOA_DEVICE void bulkCopyOnce(SharedAddress to, const void* from, uint32_t bytes, SharedAddress barrier) {
    constexpr uint64_t kEvictFirst = 0x12F0000000000000;
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier), "l"(kEvictFirst)
                 : "memory");
}

/// Orders this thread's plain accesses to shared memory before bulk copies that are issued later, by it or after a barrier by another.
MOA_DEVICE void asyncProxyFence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

}  // namespace moa
