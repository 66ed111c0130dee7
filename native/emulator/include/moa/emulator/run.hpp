// A launch: checks its shape, then runs its blocks one after another in an order drawn from the seed.
#pragma once
#include <moa/emulator/schedule.hpp>

namespace moa::emulator {

MOA_ENGINE void fiberEntry() {
    Engine& self = engine();
    self.body(self.params);
    exitLane(self);
}

/// Draws how this block is scheduled.
MOA_ENGINE void drawPolicy(Engine& engine) {
    Random& random = engine.random;
    for (uint32_t i = 0; i < kLanes; ++i) {
        engine.orders[0][i] = static_cast<uint8_t>(i);
        engine.orders[1][i] = static_cast<uint8_t>(kLanes - 1 - i);
    }
    for (uint32_t i = 2; i < Engine::kOrders; ++i) random.permutation(engine.orders[i], kLanes);
    random.permutation(engine.warpPriority, engine.warpCount);
    constexpr uint32_t never = ~0u;
    constexpr uint32_t masks[4] = {never, never, 3, 63};
    const uint32_t kind = random.below(4);
    engine.fixedPriority = kind == 0;
    engine.starving = false;
    engine.preemptMask = masks[kind];
    constexpr uint32_t early[4] = {0, 1, 2, 8};
    engine.earlyPerSixteen = early[random.below(4)];
}

MOA_ENGINE void prepareBlock(Engine& engine, uint32_t block) {
    const Launch& launch = *engine.launch;
    engine.random = Random(launch.seed ^ mixBits(block + 1));
    engine.block = block;
    engine.warpCount = launch.blockThreads / kLanes;
    drawPolicy(engine);
    engine.runnable = static_cast<uint32_t>((uint64_t{1} << engine.warpCount) - 1);
    engine.exitedWarps = 0;
    engine.barrierWarps = 0;
    engine.meetings = 0;
    for (NamedBarrier& barrier : engine.named) barrier.waiting = barrier.arrived = 0;
    engine.tracking = false;
    engine.lateProducts = Engine::kNotDrawn;
    engine.mbarriers.clear();
    dropBulkCopies(engine);
    engine.sharedBase = 1024 * (1 + engine.random.below(16));
    if (engine.sharedBytes != 0) std::memset(engine.shared, kPoison, engine.sharedBytes);
    for (uint32_t i = 0; i < engine.warpCount; ++i) {
        Warp& warp = engine.warps[i];
        warp.lanes = &engine.lanes[i * kLanes];
        warp.order = engine.orders[engine.random.below(Engine::kOrders)];
        warp.position = warp.waiting = warp.exited = warp.accesses = warp.earlyCopies = 0;
        warp.operation = nullptr;
        warp.index = i;
        warp.lastHit = nullptr;
        warp.waited = launch.programmatic == 0;
        warp.laneWaited = false;
        warp.blocked = Blocked::no;
        warp.products.clear();
        warp.registers = 0;
    }
    for (uint32_t i = 0; i < launch.blockThreads; ++i) {
        Lane& lane = engine.lanes[i];
        lane.warp = &engine.warps[i / kLanes];
        lane.thread = i;
        lane.lane = i % kLanes;
        lane.accesses.clear();
        lane.copies.clear();
        lane.firstCopy = lane.openGroup = lane.proxyFences = 0;
        lane.waited = false;
        engine.stacks.prepare(lane.fiber, i, fiberEntry);
    }
}

/// Returns when every lane of the block has exited, or the launch is aborted.
MOA_ENGINE void runBlock(Engine& engine, uint32_t block) {
    prepareBlock(engine, block);
    Warp& warp = pickWarp(engine);
    Lane& first = warp.lanes[warp.order[0]];
    warp.position = 1;
    engine.activeWarp = &warp;
    engine.running = &first;
    ++engine.counters.fiberSwitches;
    switchFiber(engine.scheduler, first.fiber);
    if (!engine.aborted) ++engine.counters.blocks;
}

MOA_ENGINE bool reserveMemory(Engine& engine, const Launch& launch) {
    if (engine.sharedStorageBytes < launch.sharedBytes) {
        const size_t bytes = (size_t{launch.sharedBytes} + 1023) / 1024 * 1024;
        std::free(engine.sharedStorage);
        engine.sharedStorage = static_cast<std::byte*>(std::aligned_alloc(1024, bytes));
        engine.sharedStorageBytes = engine.sharedStorage == nullptr ? 0 : bytes;
        if (engine.sharedStorage == nullptr) return false;
    }
    engine.shared = engine.sharedStorage;
    engine.sharedBytes = launch.sharedBytes;
    return engine.stacks.reserve(launch.blockThreads, &engine);
}

MOA_ENGINE void addCounters(Counters& to, const Counters& from) {
    constexpr size_t count = sizeof(Counters) / sizeof(uint64_t);
    uint64_t sums[count], added[count];
    std::memcpy(sums, &to, sizeof sums);
    std::memcpy(added, &from, sizeof added);
    for (size_t i = 0; i < count; ++i) sums[i] += added[i];
    std::memcpy(&to, sums, sizeof sums);
}

/// The engine of this operating-system thread: two threads may launch the same library at once.
[[maybe_unused]] static Engine& threadEngine() {
    struct Owner {
        Engine* engine = new Engine();
        ~Owner() { delete engine; }
    };
    static thread_local Owner owner;
    return *owner.engine;
}

MOA_ENTRY int32_t runLaunch(Launch& launch, void (*body)(const void*), const void* params) {
    constexpr uint32_t kMostSharedBytes = 1u << 20;  // more than any GPU has; keeps address arithmetic in 32 bits
    if (launch.gridSize == 0 || launch.sharedBytes > kMostSharedBytes) return kBadShape;
    Engine& engine = threadEngine();
    if (!reserveMemory(engine, launch)) return kBadShape;
    engine.launch = &launch;
    engine.body = body;
    engine.params = params;
    engine.counters = Counters{};
    for (List<Site>& sites : engine.reportedSites) sites.clear();
    engine.aborted = false;
    launch.findingCount = 0;

    List<uint32_t> order;
    order.resize(launch.gridSize);
    Random(launch.seed).permutation(&order[0], launch.gridSize);
    for (uint32_t i = 0; i < launch.gridSize && !engine.aborted; ++i) runBlock(engine, order[i]);

    if (launch.counters != nullptr) addCounters(*launch.counters, engine.counters);
    return engine.aborted ? kAborted : kOk;
}

}  // namespace moa::emulator
