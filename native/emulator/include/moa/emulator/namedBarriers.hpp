// Barriers of some of a block's warps, where they wait or only arrive.
#pragma once
#include <moa/emulator/schedule.hpp>

namespace moa::emulator {

/// A whole warp has come to one of the block's named barriers, and waits there or goes on. Those who only wait for each other are at one line of
/// the source, as at the block barrier.
template <bool kWaits>
MOA_ENTRY void executeNamedBarrier(Engine& engine, Warp& warp) {
    requireEqualArguments(engine, warp);
    const char* const name = warp.operation->name;
    const uint32_t id = warp.input.exchange.value[0], threads = warp.input.exchange.from[0], thread = warp.index * kLanes, own = 1u << warp.index;
    if (id == 0 || id >= Engine::kNamedBarriers || threads == 0 || threads % kLanes != 0 || threads > engine.warpCount * kLanes) {
        report(engine, "named-barrier", warp.site, thread, "%s(%d, %d): the id is 1 to %u, the threads are whole warps of the block's %u threads", name,
               static_cast<int>(id), static_cast<int>(threads), Engine::kNamedBarriers - 1, engine.warpCount * kLanes);
        abortLaunch(engine);
    }
    NamedBarrier& barrier = engine.named[id];
    if ((barrier.waiting | barrier.arrived) == 0) {
        barrier.site = warp.site;
        barrier.threads = threads;
        barrier.differs = false;
    } else if (barrier.threads != threads) {
        report(engine, "named-barrier", warp.site, thread, "the warp is at %s(%u, %u) while another is at namedBarrier%s(%u, %u), %s:%u", name, id,
               threads, barrier.waiting == 0 ? "Arrive" : "", id, barrier.threads, barrier.site.file_name(), barrier.site.line());
        abortLaunch(engine);
    } else if (barrier.arrived & own) {
        report(engine, "named-barrier", warp.site, thread, "%s(%u, %u): the warp has arrived before, and %u of %u threads have come since the last meeting",
               name, id, threads, kLanes * static_cast<uint32_t>(__builtin_popcount(barrier.waiting | barrier.arrived)), threads);
        abortLaunch(engine);
    } else if (!barrier.differs && !sameSite(barrier.site, warp.site)) {
        barrier.differs = true;
        barrier.otherSite = warp.site;
        barrier.otherWarp = warp.index;
    }
    if constexpr (kWaits) block(engine, warp, Blocked::namedBarrier, id);
    (kWaits ? barrier.waiting : barrier.arrived) |= own;
    if (static_cast<uint32_t>(__builtin_popcount(barrier.waiting | barrier.arrived)) * kLanes < threads) return;
    if (barrier.arrived == 0 && barrier.differs) {
        report(engine, "named-barrier", barrier.otherSite, barrier.otherWarp * kLanes,
               "the warp is at namedBarrier(%u, %u) while another is at namedBarrier(%u, %u), %s:%u", id, threads, id, threads, barrier.site.file_name(),
               barrier.site.line());
        abortLaunch(engine);
    }
    ++engine.counters.namedBarriers;
    ++engine.meetings;
    release(engine, barrier.waiting);
    barrier.waiting = barrier.arrived = 0;
}

}  // namespace moa::emulator
