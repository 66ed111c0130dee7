// Barriers in shared memory (PTX mbarrier). Their state is the engine's, by address; the 8 bytes themselves hold nothing, and plain accesses
// to them are findings. A phase completes when its arrivals have come and its bytes have landed, and wakes the warps that wait for it.
#pragma once
#include <moa/emulator/globalMemory.hpp>
#include <moa/emulator/sharedMemory.hpp>

namespace moa::emulator {

inline constexpr uint32_t kMbarrierBytes = 8;
/// The most arrivals, and the most bytes, of a phase.
inline constexpr uint32_t kMostInPhase = (1u << 20) - 1;

/// The first barrier of a block: from now on plain accesses to shared memory are noted.
MOA_ENGINE_COLD void startTracking(Engine& engine) {
    engine.tracking = true;
    engine.words.resize(engine.sharedBytes / 4 + 1);
    std::memset(&engine.words[0], 0, engine.words.size() * sizeof(uint32_t));
    constexpr uint32_t atIssue[4] = {0, 2, 4, 8}, whenIdle[4] = {16, 8, 2, 0};
    const uint32_t kind = engine.random.below(4);
    engine.bulkAtIssue = atIssue[kind];
    engine.bulkWhenIdle = whenIdle[kind];
    engine.starving = engine.random.below(4) != 0;
    engine.victim = engine.random.below(engine.warpCount);
}

MOA_ENGINE Mbarrier* mbarrierAt(Engine& engine, uint32_t address) {
    for (uint32_t i = 0; i < engine.mbarriers.size(); ++i)
        if (engine.mbarriers[i].address == address) return &engine.mbarriers[i];
    return nullptr;
}

/// The barrier at `address`, for use by a thread of `warp`, or null after a finding.
MOA_ENGINE Mbarrier* findMbarrier(Engine& engine, const Warp& warp, const char* what, uint32_t address, const Site& site) {
    const uint32_t thread = engine.running->thread;
    Mbarrier* const barrier = mbarrierAt(engine, address);
    if (barrier == nullptr) {
        if (resolveShared(engine, what, address, kMbarrierBytes, site) != nullptr)
            report(engine, "mbarrier", site, thread, "%s at shared address 0x%x, byte %u, where no mbarrier was initialised", what, address,
                   address - engine.sharedBase);
        return nullptr;
    }
    if (barrier->thread / kLanes != warp.index && barrier->meetings == engine.meetings) {
        report(engine, "mbarrier", site, thread, "%s on an mbarrier that thread %u initialised at %s:%u, with no barrier of the block since",
               what, barrier->thread, barrier->site.file_name(), barrier->site.line());
        barrier->meetings = engine.meetings - 1;  // once is enough
    }
    return barrier;
}

MOA_ENTRY void initMbarrier(Engine& engine, uint32_t address, uint32_t arrivals, Site site) {
    const uint32_t thread = engine.running->thread;
    if (resolveShared(engine, "mbarrierInit", address, kMbarrierBytes, site) == nullptr) return;
    if (arrivals == 0 || arrivals > kMostInPhase) {
        report(engine, "mbarrier", site, thread, "mbarrierInit with %u arrivals; 1 to %u are possible", arrivals, kMostInPhase);
        return;
    }
    if (const Mbarrier* const old = mbarrierAt(engine, address)) {
        report(engine, "mbarrier", site, thread, "mbarrierInit at byte %u, where %s:%u made an mbarrier that is in use (phase %u)",
               address - engine.sharedBase, old->site.file_name(), old->site.line(), old->phase);
        return;
    }
    if (!engine.tracking) startTracking(engine);
    Mbarrier barrier{};
    barrier.site = site;
    barrier.thread = thread;
    barrier.address = address;
    barrier.arrivals = barrier.missing = arrivals;
    barrier.meetings = engine.meetings;
    engine.mbarriers.push(barrier);
    for (uint32_t i = 0; i < kMbarrierBytes / 4; ++i) engine.words[(address - engine.sharedBase) / 4 + i] = kWordMbarrier;
}

MOA_ENTRY void fenceMbarriers(Engine& engine) {
    for (uint32_t i = 0; i < engine.mbarriers.size(); ++i)
        if (engine.mbarriers[i].thread == engine.running->thread) engine.mbarriers[i].fenced = true;
}

/// A wait for parity P passes when the phase before the one in progress has parity P.
MOA_PRIMITIVE bool hasCompleted(const Mbarrier& barrier, uint32_t parity) { return (barrier.phase & 1) != parity; }

MOA_ENGINE void noteAwaited(Mbarrier& barrier) { barrier.awaitedPhases = barrier.phase; }

/// Begins the next phase if this one is complete.
MOA_ENGINE_CALL void completePhase(Engine& engine, Mbarrier& barrier) {
    if (barrier.missing != 0 || barrier.landed != barrier.expected) return;
    ++barrier.phase;
    barrier.missing = barrier.arrivals;
    barrier.expected = barrier.issued = barrier.landed = 0;
    for (uint32_t i = 0; i < engine.warpCount; ++i) {
        Warp& warp = engine.warps[i];
        if (warp.blocked < Blocked::mbarrier || &engine.mbarriers[warp.awaited] != &barrier) continue;
        if (warp.blocked == Blocked::woken) {
            // A GPU's warp asks again and again, and would now find the wrong parity.
            if (warp.position == 0)
                report(engine, "mbarrier", warp.site, i * kLanes,
                       "the warp waits here for phase %u of the mbarrier at byte %u and may miss it: phase %u has completed too",
                       barrier.phase - 2, barrier.address - engine.sharedBase, barrier.phase - 1);
            warp.blocked = Blocked::no;
            continue;
        }
        if (!hasCompleted(barrier, warp.parity)) continue;
        warp.blocked = Blocked::woken;
        engine.runnable |= 1u << i;
        noteAwaited(barrier);
    }
}

/// `arrivals` arrivals by the running lane; the phase then waits for `bytes` more.
MOA_ENTRY void arriveAtMbarrier(Engine& engine, const char* what, uint32_t address, uint32_t arrivals, uint32_t bytes, Site site) {
    Lane& lane = *engine.running;
    Mbarrier* const barrier = findMbarrier(engine, *lane.warp, what, address, site);
    if (barrier == nullptr) return;
    if (barrier->missing == 0) {
        report(engine, "mbarrier", site, lane.thread, "%s: phase %u of the mbarrier at byte %u has had its %u arrivals and waits for bytes",
               what, barrier->phase, address - engine.sharedBase, barrier->arrivals);
        return;
    }
    if (arrivals == 0 || arrivals > barrier->missing) {
        report(engine, "mbarrier", site, lane.thread, "%s: %u arrivals, and phase %u of the mbarrier at byte %u takes 1 to %u more", what, arrivals,
               barrier->phase, address - engine.sharedBase, barrier->missing);
        return;
    }
    barrier->expected += bytes;
    if (barrier->expected > kMostInPhase)
        report(engine, "transaction", site, lane.thread, "%s: the phase expects %u bytes; %u are possible", what, barrier->expected,
               kMostInPhase);
    barrier->missing -= arrivals;
    completePhase(engine, *barrier);
}

/// At the end of the block: what was copied was waited for, and what was expected came.
MOA_ENGINE void checkMbarriersAtEnd(Engine& engine) {
    for (uint32_t i = 0; i < engine.mbarriers.size(); ++i) {
        const Mbarrier& barrier = engine.mbarriers[i];
        if (barrier.expected != barrier.issued)
            report(engine, "transaction", barrier.site, barrier.thread,
                   "the block ends while phase %u of this mbarrier expects %u bytes, and copies of %u were started", barrier.phase,
                   barrier.expected, barrier.issued);
        else if (barrier.copyPhases > barrier.awaitedPhases)
            report(engine, "pending-copy", barrier.copySite, barrier.copyThread,
                   "the block ends, and no warp has waited for phase %u of the mbarrier at byte %u, of this copy", barrier.copyPhases - 1,
                   barrier.address - engine.sharedBase);
    }
}

/// No warp can run and nothing is under way: says who waits where.
[[noreturn]] MOA_ENGINE_COLD void reportDeadlock(Engine& engine) {
    uint32_t told = 0;
    for (uint32_t i = 0; i < engine.warpCount; ++i) {
        const Warp& warp = engine.warps[i];
        if (warp.blocked == Blocked::no || warp.blocked == Blocked::woken || (told >> i & 1)) continue;
        uint32_t alike = 0;
        for (uint32_t j = i; j < engine.warpCount; ++j) {
            const Warp& other = engine.warps[j];
            if (other.blocked != warp.blocked || other.awaited != warp.awaited || other.parity != warp.parity) continue;
            if (!sameSite(other.site, warp.site)) continue;
            told |= 1u << j;
            ++alike;
        }
        const uint32_t thread = i * kLanes;
        if (warp.blocked == Blocked::mbarrier) {
            const Mbarrier& barrier = engine.mbarriers[warp.awaited];
            report(engine, "deadlock", warp.site, thread,
                   "no warp can run: %u wait here at mbarrierWait for parity %u of the mbarrier at byte %u; its phase %u needs %u of %u "
                   "arrivals and %u of %u bytes, none of them under way",
                   alike, warp.parity, barrier.address - engine.sharedBase, barrier.phase, barrier.missing, barrier.arrivals,
                   barrier.expected - barrier.landed, barrier.expected);
        } else if (warp.blocked == Blocked::namedBarrier) {
            report(engine, "deadlock", warp.site, thread, "no warp can run: %u wait here at namedBarrier %u for %u threads", alike, warp.awaited,
                   engine.named[warp.awaited].threads);
        } else {
            report(engine, "deadlock", warp.site, thread, "no warp can run: %u wait here at blockBarrier", alike);
        }
    }
    abortLaunch(engine);
}

}  // namespace moa::emulator
