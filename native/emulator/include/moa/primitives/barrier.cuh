// Barriers. A thread that exits does not count as arrived.
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// All threads of the block meet, at one line of the source; memory is visible among them (PTX bar.sync).
MOA_PRIMITIVE void blockBarrier(emulator::Site site = emulator::Site::current()) {
    emulator::arrive(emulator::engine(), emulator::kBlockBarrier, site);
}

/// `threads` threads of the block meet, whole warps of it, at one line of the source and at one of 15 barriers: `id` is 1 to 15. Memory is
/// visible among them (PTX bar.sync a, b).
MOA_PRIMITIVE void namedBarrier(int id, int threads, emulator::Site site = emulator::Site::current()) {
    emulator::arriveWith(emulator::kNamedBarrier, static_cast<uint32_t>(id), static_cast<uint32_t>(threads), site);
}

/// The same for threads that need not wait: they count as arrived, and go on (PTX bar.arrive a, b). Those who wait see what they wrote before. It may
/// stand at another line than where they wait.
MOA_PRIMITIVE void namedBarrierArrive(int id, int threads, emulator::Site site = emulator::Site::current()) {
    emulator::arriveWith(emulator::kNamedBarrierArrive, static_cast<uint32_t>(id), static_cast<uint32_t>(threads), site);
}

/// All 32 lanes of the warp meet; memory is visible among them (PTX bar.warp.sync).
MOA_PRIMITIVE void warpBarrier(emulator::Site site = emulator::Site::current()) {
    emulator::arrive(emulator::engine(), emulator::kWarpBarrier, site);
}

}  // namespace moa
