// Who runs next. Lanes run one at a time, each until it arrives at a warp-wide operation or exits; when the last of the 32 arrives, the
// operation is carried out and all may go on. A warp runs as far as it can before another, or is preempted between operations, by seed.
#pragma once
#include <moa/emulator/asyncCopies.hpp>
#include <moa/emulator/bulkCopies.hpp>
#include <moa/emulator/warpgroups.hpp>

namespace moa::emulator {


/// `self` arrives at `operation`, where other lanes of its warp wait at another, or have exited: none of them can go on.
[[noreturn]] MOA_ENGINE_COLD void reportNoConvergence(Engine& engine, const Lane& self, const Operation& operation, const Site& site) {
    const Warp& warp = *self.warp;
    if (warp.waiting != 0 && (warp.operation != &operation || !sameSite(warp.site, site)))
        report(engine, "divergence", site, self.thread, "arrives at %s while other lanes of its warp wait at %s, %s:%u",
               operation.name, warp.operation->name, warp.site.file_name(), warp.site.line());
    else
        report(engine, &operation == &kBlockBarrier ? "deadlock" : "divergence", site, self.thread,
               "arrives at %s, which needs the %u lanes of its warp that have exited", operation.name, warp.exited);
    abortLaunch(engine);
}

/// One of the warps of `set`, which has some.
MOA_ENGINE Warp& drawWarp(Engine& engine, uint32_t set) {
    uint32_t skip = engine.random.below(static_cast<uint32_t>(__builtin_popcount(set)));
    while (skip-- != 0) set &= set - 1;
    return engine.warps[__builtin_ctz(set)];
}

/// Warps with roles of their own seldom meet, so a race shows when one of them falls behind: the victim runs when no other can, often not
/// even then, while there are copies whose landing lets another run.
MOA_ENGINE_CALL Warp& pickNotVictim(Engine& engine) {
    const uint64_t draw = engine.random.next();
    if ((draw & 31) == 0) engine.victim = engine.random.below(engine.warpCount);
    const uint32_t victim = 1u << engine.victim;
    if ((draw >> 8 & 15) != 0)
        while ((engine.runnable & ~victim) == 0 && engine.bulkCopies.size() != 0)
            landBulkCopy(engine, engine.random.below(engine.bulkCopies.size()), false);
    const uint32_t others = engine.runnable & ~victim;
    return drawWarp(engine, others != 0 ? others : engine.runnable);
}

/// A warp that may run: by the block's priority, or any.
MOA_ENGINE Warp& pickWarp(Engine& engine) {
    if (engine.starving) [[unlikely]]
        return pickNotVictim(engine);
    if (engine.fixedPriority) {
        uint32_t i = 0;
        while ((engine.runnable >> engine.warpPriority[i] & 1) == 0) ++i;
        return engine.warps[engine.warpPriority[i]];
    }
    return drawWarp(engine, engine.runnable);
}

/// All lanes of `warp` have arrived: carries the operation out and chooses which warp runs.
MOA_ENGINE_CALL void completeOperation(Engine& engine, Warp& warp) {
    const uint64_t draw = engine.random.next();
    if (warp.accesses != 0) countAccesses(engine, warp);
    if (warp.earlyCopies != 0 && (draw >> 8 & 15) == 0) landEarlyCopies(warp);
    warp.waiting = 0;
    warp.position = 0;
    warp.waited |= warp.laneWaited;
    warp.blocked = Blocked::no;
    warp.order = engine.orders[draw % Engine::kOrders];
    warp.operation->execute(engine, warp);
    if (engine.bulkCopies.size() != 0 && (draw >> 16 & 3) == 0) landSomeBulkCopy(engine);
    const bool blocked = (engine.runnable >> warp.index & 1) == 0;
    if (engine.runnable == 0) [[unlikely]]
        wakeSome(engine);
    if (blocked || (draw >> 32 & engine.preemptMask) == 0) engine.activeWarp = &pickWarp(engine);
}

/// Runs the next lane of the active warp in place of `self`.
MOA_PRIMITIVE void runNext(Engine& engine, Lane& self) {
    Warp& warp = *engine.activeWarp;
    Lane& next = warp.lanes[warp.order[warp.position++]];
    if (&next == &self) return;
    engine.running = &next;
    ++engine.counters.fiberSwitches;
    switchFiber(self.fiber, next.fiber);
}

/// In the middle of what a lane does between operations: by seed another warp runs first, and the lanes of this one that have not come so
/// far see what it did. For what a lane does on behalf of its warp.
MOA_ENTRY void preemptLane(Engine& engine) {
    Lane& self = *engine.running;
    uint32_t others = engine.runnable & ~(1u << self.warp->index);
    if (engine.starving) others &= ~(1u << engine.victim);
    if (others == 0 || (engine.random.next() & 1) != 0) return;
    --self.warp->position;  // this lane goes on when its warp does
    self.warp->blocked = Blocked::no;
    engine.activeWarp = &drawWarp(engine, others);
    runNext(engine, self);
}

/// The running lane takes part in a warp-wide operation; returns when it has been carried out and it is the lane's turn.
MOA_ENTRY void arrive(Engine& engine, const Operation& operation, Site site) {
    Lane& self = *engine.running;
    Warp& warp = *self.warp;
    if (warp.waiting == 0) {
        warp.operation = &operation;
        warp.site = site;
    } else if (warp.operation != &operation || !sameSite(warp.site, site)) [[unlikely]] {
        reportNoConvergence(engine, self, operation, site);
    }
    if (warp.exited != 0) [[unlikely]]
        reportNoConvergence(engine, self, operation, site);
    if (++warp.waiting == kLanes) completeOperation(engine, warp);
    runNext(engine, self);
}

/// Takes `warp` from those that can run.
MOA_ENGINE void block(Engine& engine, Warp& warp, Blocked why, uint32_t awaited, uint32_t parity = 0) {
    engine.runnable &= ~(1u << warp.index);
    warp.blocked = why;
    warp.awaited = awaited;
    warp.parity = parity;
}

MOA_ENGINE void release(Engine& engine, uint32_t warps) {
    engine.runnable |= warps;
    for (; warps != 0; warps &= warps - 1) engine.warps[__builtin_ctz(warps)].blocked = Blocked::no;
}

/// A whole warp has arrived at the block barrier.
MOA_ENTRY void executeBlockBarrier(Engine& engine, Warp& warp) {
    if (engine.exitedWarps != 0) {
        report(engine, "deadlock", warp.site, warp.index * kLanes, "the warp waits at blockBarrier for %u warps that have exited",
               engine.exitedWarps);
        abortLaunch(engine);
    }
    if (engine.barrierWarps == 0) {
        engine.barrierSite = warp.site;
    } else if (!sameSite(engine.barrierSite, warp.site)) {
        report(engine, "divergence", warp.site, warp.index * kLanes, "the warp is at this blockBarrier while another is at %s:%u",
               engine.barrierSite.file_name(), engine.barrierSite.line());
        abortLaunch(engine);
    }
    block(engine, warp, Blocked::blockBarrier, 0);
    if (++engine.barrierWarps < engine.warpCount) return;
    ++engine.counters.blockBarriers;
    ++engine.meetings;
    engine.barrierWarps = 0;
    release(engine, static_cast<uint32_t>((uint64_t{1} << engine.warpCount) - 1));
}

/// All lanes bring the same two arguments; the warp cannot go on when they do not.
MOA_ENGINE void requireEqualArguments(Engine& engine, Warp& warp) {
    const auto& input = warp.input.exchange;
    for (uint32_t lane = 1; lane < kLanes; ++lane) {
        if (input.value[lane] == input.value[0] && input.from[lane] == input.from[0]) continue;
        report(engine, "divergence", warp.site, warp.index * kLanes + lane,
               "%s with other arguments than lane 0 of its warp: (0x%x, %u) and (0x%x, %u)", warp.operation->name, input.value[lane],
               input.from[lane], input.value[0], input.from[0]);
        abortLaunch(engine);
    }
}

/// A whole warp waits for a phase of an mbarrier.
MOA_ENTRY void executeMbarrierWait(Engine& engine, Warp& warp) {
    requireEqualArguments(engine, warp);
    ++engine.counters.mbarrierWaits;
    const uint32_t address = warp.input.exchange.value[0], parity = warp.input.exchange.from[0];
    Mbarrier* const barrier = findMbarrier(engine, warp, "mbarrierWait", address, warp.site);
    if (barrier == nullptr) return;
    if (parity > 1) {
        report(engine, "mbarrier", warp.site, warp.index * kLanes, "mbarrierWait for parity %u", parity);
        return;
    }
    if (hasCompleted(*barrier, parity))
        noteAwaited(*barrier);
    else
        block(engine, warp, Blocked::mbarrier, static_cast<uint32_t>(barrier - &engine.mbarriers[0]), parity);
}

/// Brings two arguments that all lanes of the warp share.
MOA_ENTRY void arriveWith(const Operation& operation, uint32_t first, uint32_t second, Site site) {
    Engine& self = StackPool::engineOfThisStack();
    Lane& lane = *self.running;
    auto& input = lane.warp->input.exchange;
    input.value[lane.lane] = first;
    input.from[lane.lane] = second;
    arrive(self, operation, site);
}

/// The last warp of the block has exited.
MOA_ENGINE void checkEndOfBlock(Engine& engine) {
    checkMbarriersAtEnd(engine);
    dropBulkCopies(engine);
    checkSameProducts(engine);
    checkRegisters(engine);
    if (engine.launch->programmatic == 0) return;
    for (uint32_t i = 0; i < engine.warpCount; ++i)
        if (engine.warps[i].laneWaited) return;
    // Nothing that is missing has a line; the block's last operation tells which kernel it is.
    const Warp& warp = *engine.running->warp;
    report(engine, "never-waited", warp.operation != nullptr ? warp.site : Site::current(), engine.running->thread,
           "the launch is programmatic, and the block has ended with no call of waitForPrerequisites");
}

/// The running lane has left the kernel.
[[noreturn]] MOA_ENGINE_CALL void exitLane(Engine& engine) {
    Lane& self = *engine.running;
    Warp& warp = *self.warp;
    checkNoPendingCopy(engine, self);
    if (warp.waiting != 0) {
        report(engine, warp.operation == &kBlockBarrier ? "deadlock" : "divergence", warp.site, self.thread,
               "the thread exits while %u lanes of its warp wait here at %s", warp.waiting, warp.operation->name);
        abortLaunch(engine);
    }
    if (++warp.exited == kLanes) {
        if (warp.accesses != 0) countAccesses(engine, warp);
        checkNoPendingProduct(engine, warp);
        engine.runnable &= ~(1u << warp.index);
        ++engine.exitedWarps;
        if (engine.barrierWarps != 0) {
            report(engine, "deadlock", engine.barrierSite, self.thread, "the warp exits while %u warps wait here at blockBarrier",
                   engine.barrierWarps);
            abortLaunch(engine);
        }
        if (engine.exitedWarps == engine.warpCount) {
            checkEndOfBlock(engine);
            switchFiber(self.fiber, engine.scheduler);
            __builtin_unreachable();
        }
        if (engine.runnable == 0) wakeSome(engine);
        engine.activeWarp = &pickWarp(engine);
    }
    runNext(engine, self);
    __builtin_unreachable();
}

}  // namespace moa::emulator
