// Asynchronous copies from global to shared memory, 16 bytes each (PTX cp.async, sm_80).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// Starts a copy of 16 bytes; both addresses are 16-byte aligned. With `valid` false nothing is read and zeros are written. Until a wait
/// covers it the destination is NaN, or by seed what was copied (PTX cp.async).
MOA_PRIMITIVE void cpAsync16(SharedAddress to, const void* from, bool valid = true, emulator::Site site = emulator::Site::current()) {
    emulator::issueCopy(emulator::engine(), to, from, valid, site);
}

/// The same for data that is read once: it is the first that the L2 cache gives up.
MOA_PRIMITIVE void cpAsync16Once(SharedAddress to, const void* from, bool valid, emulator::Site site = emulator::Site::current()) {
    emulator::issueCopy(emulator::engine(), to, from, valid, site);
}

/// Closes the thread's group of copies. An empty group counts (PTX cp.async.commit_group).
MOA_PRIMITIVE void cpAsyncCommit() { emulator::commitCopies(*emulator::engine().running); }

/// Waits until at most `kPending` of the thread's newest groups are unfinished (PTX cp.async.wait_group). Copies of no closed group are
/// not waited for. Other threads see what landed only after a barrier.
template <int kPending>
MOA_PRIMITIVE void cpAsyncWait() {
    static_assert(kPending >= 0);
    emulator::waitForCopies(emulator::engine(), kPending);
}

}  // namespace moa
