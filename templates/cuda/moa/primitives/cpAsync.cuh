// Asynchronous copies from global to shared memory, 16 bytes each (PTX cp.async, sm_80).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Starts a copy of 16 bytes; both addresses are 16-byte aligned.
MOA_DEVICE void cpAsync16(SharedAddress to, const void* from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(__cvta_generic_to_global(from)) : "memory");
}

/// The same; with `valid` false nothing is read and zeros are written.
MOA_DEVICE void cpAsync16(SharedAddress to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
                 "r"(valid ? 16 : 0)
                 : "memory");
}

/// The same for data that is read once: it is the first that the L2 cache gives up (PTX createpolicy, sm_80).
MOA_DEVICE void cpAsync16Once(SharedAddress to, const void* from, bool valid) {
    uint64_t policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));  // not volatile: made once for all copies
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
                 "r"(valid ? 16 : 0), "l"(policy)
                 : "memory");
}

/// Closes the thread's group of copies. An empty group counts.
MOA_DEVICE void cpAsyncCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most `kPending` of the thread's newest groups are unfinished.
template <int kPending>
MOA_DEVICE void cpAsyncWait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace moa
