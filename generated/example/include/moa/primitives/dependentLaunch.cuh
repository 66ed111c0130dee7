// Launches that begin before the one before them has ended (PTX griddepcontrol, sm_90; elsewhere, and in plain launches, nothing to do).
#pragma once
#include <nv/target>

#include <moa/primitives/kernel.cuh>

namespace moa {

/// Waits until all launches before have ended and their writes are visible. Before it a kernel may only read what the launch before did
/// not write, and write nothing.
MOA_DEVICE void waitForPrerequisites() { NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.wait;" ::: "memory");)) }

/// Lets the next launch begin once all blocks have said so or ended. It promises nothing about what was written.
MOA_DEVICE void launchDependents() {
    NV_IF_TARGET(NV_PROVIDES_SM_90, (asm volatile("griddepcontrol.launch_dependents;" ::: "memory");))
}

}  // namespace moa
