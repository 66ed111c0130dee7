// Launches that begin before the one before them has ended (PTX griddepcontrol, sm_90; in plain launches nothing to do).
#pragma once
#include <moa/primitives/kernel.cuh>

namespace moa {

/// Waits until all launches before have ended and their writes are visible. Before it a kernel may only read what the launch before did
/// not write, and write nothing. Here launches never overlap, and whoever does so is a finding.
MOA_PRIMITIVE void waitForPrerequisites() {
    emulator::Lane& lane = *emulator::engine().running;
    lane.waited = lane.warp->laneWaited = true;
}

/// Lets the next launch begin once all blocks have said so or ended. It promises nothing about what was written.
MOA_PRIMITIVE void launchDependents(emulator::Site site = emulator::Site::current()) {
    emulator::Engine& engine = emulator::engine();
    if (!emulator::hasWaited(*engine.running)) [[unlikely]]
        emulator::report(engine, "early-launch", site, engine.running->thread,
                         "launchDependents before waitForPrerequisites: the next launch may begin while the one before this still runs");
}

}  // namespace moa
