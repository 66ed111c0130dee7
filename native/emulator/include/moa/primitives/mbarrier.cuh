// Barriers in shared memory that count arrivals and the bytes of bulk copies (PTX mbarrier, sm_80 and sm_90). A barrier has 8 bytes, aligned to 8.
//
// A phase completes when the arrivals given at its initialisation have come and all bytes expected in it have landed; then the next begins.
// Phases have parity 0, 1, 0, ...
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Makes a barrier whose phases take `arrivals` arrivals each. By one thread; others may use it after a block barrier, and bulk copies after `mbarrierInitFence` besides.
MOA_PRIMITIVE void mbarrierInit(SharedAddress barrier, uint32_t arrivals, emulator::Site site = emulator::Site::current()) {
    emulator::initMbarrier(emulator::engine(), barrier, arrivals, site);
}

/// Makes the barriers that this thread initialised visible to bulk copies; other threads need a block barrier as well.
MOA_PRIMITIVE void mbarrierInitFence() { emulator::fenceMbarriers(emulator::engine()); }

/// One arrival by this thread. What it wrote before is visible to those who wait for the phase.
MOA_PRIMITIVE void mbarrierArrive(SharedAddress barrier, emulator::Site site = emulator::Site::current()) {
    emulator::arriveAtMbarrier(emulator::engine(), "mbarrierArrive", barrier, 1, 0, site);
    emulator::preemptLane(emulator::engine());
}

/// `arrivals` arrivals at once, by this thread (PTX mbarrier.arrive with a count, sm_90).
MOA_PRIMITIVE void mbarrierArriveMany(SharedAddress barrier, uint32_t arrivals, emulator::Site site = emulator::Site::current()) {
    emulator::arriveAtMbarrier(emulator::engine(), "mbarrierArriveMany", barrier, arrivals, 0, site);
    emulator::preemptLane(emulator::engine());
}

/// One arrival, and the phase waits for `bytes` more bytes of bulk copies. To be called before those copies are issued.
MOA_PRIMITIVE void mbarrierArriveExpect(SharedAddress barrier, uint32_t bytes, emulator::Site site = emulator::Site::current()) {
    emulator::arriveAtMbarrier(emulator::engine(), "mbarrierArriveExpect", barrier, 1, bytes, site);
    emulator::preemptLane(emulator::engine());
}

/// Waits until the phase of this parity has completed: parity 1 of a new barrier counts as completed. By all 32 lanes of a warp together,
/// with equal arguments. No fence is needed to read what bulk copies of the phase wrote.
MOA_PRIMITIVE void mbarrierWait(SharedAddress barrier, uint32_t parity, emulator::Site site = emulator::Site::current()) {
    emulator::arriveWith(emulator::kMbarrierWait, barrier, parity, site);
}

}  // namespace moa
