// Bulk copies (PTX cp.async.bulk), made as unkind as the model allows. The destination is NaN from the moment of issue. By seed a copy lands
// at issue, at some later operation of any warp, or only when no warp can run; among those under way in any order, and a large one in parts.
// The source is read at issue or at landing.
#pragma once
#include <moa/emulator/mbarriers.hpp>

namespace moa::emulator {

inline constexpr uint32_t kBulkGranule = 16;

/// Lands what is left of copy `index`, or a part of it. The last part completes its bytes on the barrier.
MOA_ENGINE_CALL void landBulkCopy(Engine& engine, uint32_t index, bool whole) {
    BulkCopy& copy = engine.bulkCopies[index];
    const uint64_t draw = engine.random.next();
    const uint32_t granules = (copy.end - copy.begin) / kBulkGranule;
    uint32_t from = copy.begin, bytes = copy.end - copy.begin;
    if (!whole && granules > 1 && (draw & 3) == 0) {
        bytes = kBulkGranule * (1 + static_cast<uint32_t>((draw >> 32) % (granules - 1)));
        if (draw & 4) from = copy.end - bytes;
    }
    std::memcpy(copy.to + from, (copy.held != nullptr ? copy.held : copy.from) + from, bytes);
    if (from == copy.begin)
        copy.begin += bytes;
    else
        copy.end -= bytes;
    if (copy.begin != copy.end) return;

    const uint32_t firstWord = static_cast<uint32_t>(copy.to - engine.shared) / 4;
    for (uint32_t i = firstWord; i < firstWord + copy.bytes / 4; ++i) engine.words[i] &= ~kWordInFlight;
    std::free(copy.held);
    Mbarrier& barrier = engine.mbarriers[copy.barrier];
    barrier.landed += copy.bytes;
    const uint32_t last = engine.bulkCopies.size() - 1;
    copy = engine.bulkCopies[last];
    engine.bulkCopies.resize(last);
    completePhase(engine, barrier);
}

/// At an operation of any warp: lands one of the copies that need not wait for idleness.
MOA_ENGINE_CALL void landSomeBulkCopy(Engine& engine) {
    const uint32_t index = engine.random.below(engine.bulkCopies.size());
    if (!engine.bulkCopies[index].whenIdle) landBulkCopy(engine, index, false);
}

/// No warp can run: lands copies until one can.
MOA_ENGINE_CALL void wakeSome(Engine& engine) {
    while (engine.runnable == 0) {
        const uint32_t underWay = engine.bulkCopies.size();
        if (underWay == 0) reportDeadlock(engine);
        landBulkCopy(engine, engine.random.below(underWay), false);
    }
}

/// Forgets the copies of a block that ended or was aborted.
MOA_ENGINE void dropBulkCopies(Engine& engine) {
    for (uint32_t i = 0; i < engine.bulkCopies.size(); ++i) std::free(engine.bulkCopies[i].held);
    engine.bulkCopies.clear();
}

/// The source lies in one allocation, was not written by this launch (which would need a fence that there is no primitive for), and is
/// not read before a programmatic launch has waited.
MOA_ENGINE bool checkBulkSource(Engine& engine, const void* from, uint32_t bytes, const Site& site) {
    const uint64_t address = reinterpret_cast<uintptr_t>(from);
    Lane& lane = *engine.running;
    const Allocation* const found = allocationBefore(*engine.launch, address);
    if (found == nullptr || !holds(*found, address, bytes) || address % kBulkGranule != 0)
        return rejectGlobal(engine, "bulkCopy from global memory", address, bytes, site);
    lane.warp->lastHit = found;
    noteGlobalRead(engine, "bulkCopy", from, bytes, site);
    if (found->written == nullptr) return true;
    const uint64_t first = (address - found->begin) / kWrittenGranule;
    for (uint64_t i = first; i < first + bytes / kWrittenGranule; ++i) {
        if (found->written[i] != engine.launch->number) continue;
        report(engine, "proxy", site, lane.thread, "bulkCopy reads byte %llu of allocation %llu, which a plain store of this launch wrote",
               static_cast<unsigned long long>(i * kWrittenGranule), static_cast<unsigned long long>(found->id));
        break;
    }
    return true;
}

/// The destination is free of other copies, of mbarriers, and of plain stores that no proxy fence follows; now it is in flight.
MOA_ENGINE void claimDestination(Engine& engine, uint32_t to, uint32_t bytes, const Site& site) {
    const uint32_t thread = engine.running->thread, first = (to - engine.sharedBase) / 4;
    uint32_t seen = 0, unfenced = 0;
    for (uint32_t i = first; i < first + bytes / 4; ++i) {
        const uint32_t word = engine.words[i];
        seen |= word;
        const uint32_t store = word & ~(kWordInFlight | kWordMbarrier);
        if ((word & kWordStored) != 0 && store == storedBy(engine.lanes[word & kWordThread])) unfenced = i + 1;
        engine.words[i] = (word & kWordMbarrier) | kWordInFlight;
    }
    if (seen & (kWordInFlight | kWordMbarrier)) rejectTracked(engine, "bulkCopy", to, seen, site);
    if (unfenced != 0)
        report(engine, "proxy", site, thread, "bulkCopy to byte %u of shared memory, where a thread stored and called no asyncProxyFence since",
               (unfenced - 1) * 4);
}

MOA_ENGINE_CALL void issueBulkCopy(Engine& engine, uint32_t to, const void* from, uint32_t bytes, uint32_t barrierAddress, const Site& site) {
    Lane& lane = *engine.running;
    if (bytes == 0 || bytes % kBulkGranule != 0) {
        report(engine, "misaligned", site, lane.thread, "bulkCopy of %u bytes; it takes a multiple of %u", bytes, kBulkGranule);
        return;
    }
    Mbarrier* const barrier = findMbarrier(engine, *lane.warp, "bulkCopy", barrierAddress, site);
    if (barrier == nullptr || !checkBulkSource(engine, from, bytes, site)) return;
    const uint32_t offset = to - engine.sharedBase;
    if (to % kBulkGranule != 0 || offset >= engine.sharedBytes || engine.sharedBytes - offset < bytes) {
        report(engine, to % kBulkGranule != 0 ? "misaligned" : "shared-out-of-bounds", site, lane.thread,
               "bulkCopy of %u bytes to shared address 0x%x, byte %lld of %u", bytes, to,
               static_cast<long long>(to) - static_cast<long long>(engine.sharedBase), engine.sharedBytes);
        return;
    }
    if (!barrier->fenced) {
        report(engine, "mbarrier", site, lane.thread, "bulkCopy on an mbarrier whose thread called no mbarrierInitFence after %s:%u",
               barrier->site.file_name(), barrier->site.line());
        barrier->fenced = true;
    }
    claimDestination(engine, to, bytes, site);
    barrier->issued += bytes;
    if (barrier->issued > barrier->expected) {
        report(engine, "transaction", site, lane.thread, "copies of %u bytes in phase %u of the mbarrier at byte %u, which expects %u",
               barrier->issued, barrier->phase, barrierAddress - engine.sharedBase, barrier->expected);
        barrier->expected = barrier->issued;
    }
    barrier->copyPhases = barrier->phase + 1;
    barrier->copySite = site;
    barrier->copyThread = lane.thread;
    ++engine.counters.bulkCopies;
    engine.counters.bulkCopyBytes += bytes;

    BulkCopy copy{};
    copy.to = engine.shared + offset;
    copy.from = static_cast<const std::byte*>(from);
    copy.bytes = copy.end = bytes;
    copy.barrier = static_cast<uint32_t>(barrier - &engine.mbarriers[0]);
    std::memset(copy.to, kPoison, bytes);
    const uint64_t draw = engine.random.next();
    const uint32_t when = draw & 15;
    copy.whenIdle = when >= 16 - engine.bulkWhenIdle;
    const bool now = when < engine.bulkAtIssue;
    if (!now && (draw >> 4 & 1) != 0) {
        copy.held = static_cast<std::byte*>(std::malloc(bytes));
        if (copy.held == nullptr) std::abort();
        std::memcpy(copy.held, from, bytes);
    }
    engine.bulkCopies.push(copy);
    if (now) landBulkCopy(engine, engine.bulkCopies.size() - 1, true);
}

}  // namespace moa::emulator
