// Who runs next. Lanes run one at a time, each until it arrives at a warp-wide operation or exits; when the last of the 32 arrives, the
// operation is carried out and all may go on. A warp runs as far as it can before another, or is preempted between operations, by seed.
#pragma once
#include <moa/emulator/asyncCopies.hpp>

namespace moa::emulator {

MOA_ENGINE void executeBlockBarrier(Engine& engine, Warp& warp);
static constexpr Operation kBlockBarrier{"blockBarrier", executeBlockBarrier};

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

/// A warp that may run: by the block's priority, or any.
MOA_ENGINE Warp& pickWarp(Engine& engine) {
    if (engine.fixedPriority) {
        uint32_t i = 0;
        while ((engine.runnable >> engine.warpPriority[i] & 1) == 0) ++i;
        return engine.warps[engine.warpPriority[i]];
    }
    uint32_t skip = engine.random.below(static_cast<uint32_t>(__builtin_popcount(engine.runnable)));
    uint32_t left = engine.runnable;
    while (skip-- != 0) left &= left - 1;
    return engine.warps[__builtin_ctz(left)];
}

/// All lanes of `warp` have arrived: carries the operation out and chooses which warp runs.
MOA_ENGINE_CALL void completeOperation(Engine& engine, Warp& warp) {
    const uint64_t draw = engine.random.next();
    if (warp.accesses != 0) countAccesses(engine, warp);
    if (warp.earlyCopies != 0 && (draw >> 8 & 15) == 0) landEarlyCopies(warp);
    warp.waiting = 0;
    warp.position = 0;
    warp.order = engine.orders[draw % Engine::kOrders];
    warp.operation->execute(engine, warp);
    const bool blocked = (engine.runnable >> warp.index & 1) == 0;
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

/// The running lane takes part in a warp-wide operation; returns when it has been carried out and it is the lane's turn.
MOA_ENGINE_CALL void arrive(Engine& engine, const Operation& operation, const Site& site) {
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

/// A whole warp has arrived at the block barrier.
MOA_ENGINE void executeBlockBarrier(Engine& engine, Warp& warp) {
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
    engine.runnable &= ~(1u << warp.index);
    if (++engine.barrierWarps < engine.warpCount) return;
    ++engine.counters.blockBarriers;
    engine.barrierWarps = 0;
    engine.runnable = static_cast<uint32_t>((uint64_t{1} << engine.warpCount) - 1);
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
        engine.runnable &= ~(1u << warp.index);
        ++engine.exitedWarps;
        if (engine.barrierWarps != 0) {
            report(engine, "deadlock", engine.barrierSite, self.thread, "the warp exits while %u warps wait here at blockBarrier",
                   engine.barrierWarps);
            abortLaunch(engine);
        }
        if (engine.runnable == 0) {
            switchFiber(self.fiber, engine.scheduler);
            __builtin_unreachable();
        }
        engine.activeWarp = &pickWarp(engine);
    }
    runNext(engine, self);
    __builtin_unreachable();
}

}  // namespace moa::emulator
