// Barriers in shared memory that count arrivals (PTX mbarrier, sm_80) and the bytes of bulk copies (sm_90). A barrier has 8 bytes, aligned to 8.
//
// A phase completes when the arrivals given at its initialisation have come and all bytes expected in it have landed; then the next begins.
// Phases have parity 0, 1, 0, ... What is said to be of sm_90 does not assemble below it.
#pragma once
#include <nv/target>

#include <moa/primitives/memory.cuh>

namespace moa {

/// Makes a barrier whose phases take `arrivals` arrivals each. By one thread; others may use it after a block barrier, and bulk copies after `mbarrierInitFence` besides.
MOA_DEVICE void mbarrierInit(SharedAddress barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/// Makes the barriers that this thread initialised visible to bulk copies (sm_90); other threads need a block barrier as well.
MOA_DEVICE void mbarrierInitFence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

/// One arrival by this thread. What it wrote before is visible to those who wait for the phase.
MOA_DEVICE void mbarrierArrive(SharedAddress barrier) {
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/// `arrivals` arrivals at once, by this thread (PTX mbarrier.arrive with a count, sm_90).
MOA_DEVICE void mbarrierArriveMany(SharedAddress barrier, uint32_t arrivals) {
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/// One arrival, and the phase waits for `bytes` more bytes of bulk copies (sm_90). To be called before those copies are issued.
MOA_DEVICE void mbarrierArriveExpect(SharedAddress barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

/// Waits until the phase of this parity has completed: parity 1 of a new barrier counts as completed. By all 32 lanes of a warp together,
/// with equal arguments. No fence is needed to read what bulk copies of the phase wrote.
MOA_DEVICE void mbarrierWait(SharedAddress barrier, uint32_t parity) {
    NV_IF_ELSE_TARGET(NV_PROVIDES_SM_90,
                      (asm volatile("{\n"
                                    ".reg .pred completed;\n"
                                    "retry:\n"
                                    "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 completed, [%0], %1;\n"
                                    "@!completed bra retry;\n"
                                    "}" ::"r"(barrier),
                                    "r"(parity)
                                    : "memory");),
                      (asm volatile("{\n"
                                    ".reg .pred completed;\n"
                                    "retry:\n"
                                    "mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 completed, [%0], %1;\n"
                                    "@!completed bra retry;\n"
                                    "}" ::"r"(barrier),
                                    "r"(parity)
                                    : "memory");))
}

}  // namespace moa
