// Bulk and tensor copies (PTX cp.async.bulk), made as unkind as the model allows. The destination is NaN from the moment of issue. By seed a copy lands
// at issue, at some later operation of any warp, or only when no warp can run; among those under way in any order, and a large one in parts.
// The source is read at issue or at landing.
#pragma once
#include <moa/emulator/mbarriers.hpp>
#include <moa/emulator/tensorBox.hpp>

namespace moa::emulator {

inline constexpr uint32_t kBulkGranule = 16;

/// Reads a part of the source of a copy, as it is to land.
MOA_ENGINE void readSource(const BulkCopy& copy, uint32_t from, uint32_t bytes, std::byte* to) {
    if (copy.from == nullptr)
        readBox(copy.box, from, bytes, to);
    else
        std::memcpy(to, copy.from + from, bytes);
}

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
    if (copy.held != nullptr)
        std::memcpy(copy.to + from, copy.held + from, bytes);
    else
        readSource(copy, from, bytes, copy.to + from);
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

/// Reports a read of what this launch itself wrote, which would need a fence that there is no primitive for. True if it did not.
MOA_ENGINE bool checkNotWritten(Engine& engine, const char* what, const Allocation& allocation, uint64_t address, uint64_t bytes, const Site& site) {
    if (allocation.written == nullptr) return true;
    const uint64_t first = (address - allocation.begin) / kWrittenGranule, last = (address - allocation.begin + bytes - 1) / kWrittenGranule;
    for (uint64_t i = first; i <= last; ++i) {
        if (allocation.written[i] != engine.launch->number) continue;
        report(engine, "proxy", site, engine.running->thread, "%s reads byte %llu of allocation %llu, which a plain store of this launch wrote", what,
               static_cast<unsigned long long>(i * kWrittenGranule), static_cast<unsigned long long>(allocation.id));
        return false;
    }
    return true;
}

/// The source lies in one allocation, was not written by this launch, and is not read before a programmatic launch has waited.
MOA_ENGINE bool checkBulkSource(Engine& engine, const void* from, uint32_t bytes, const Site& site) {
    const uint64_t address = reinterpret_cast<uintptr_t>(from);
    const Allocation* const found = allocationBefore(*engine.launch, address);
    if (found == nullptr || !holds(*found, address, bytes) || address % kBulkGranule != 0)
        return rejectGlobal(engine, "bulkCopy from global memory", address, bytes, site);
    engine.running->warp->lastHit = found;
    noteGlobalRead(engine, "bulkCopy", from, bytes, site);
    checkNotWritten(engine, "bulkCopy", *found, address, bytes, site);
    return true;
}

/// The destination is free of other copies, of mbarriers, and of plain stores that no proxy fence follows; now it is in flight.
MOA_ENGINE void claimDestination(Engine& engine, const char* what, uint32_t to, uint32_t bytes, const Site& site) {
    const uint32_t thread = engine.running->thread, first = (to - engine.sharedBase) / 4;
    uint32_t seen = 0, unfenced = 0;
    for (uint32_t i = first; i < first + bytes / 4; ++i) {
        const uint32_t word = engine.words[i];
        seen |= word;
        const uint32_t store = word & ~(kWordInFlight | kWordMbarrier);
        if ((word & kWordStored) != 0 && store == storedBy(engine.lanes[word & kWordThread])) unfenced = i + 1;
        engine.words[i] = (word & kWordMbarrier) | kWordInFlight;
    }
    if (seen & (kWordInFlight | kWordMbarrier)) rejectTracked(engine, what, to, seen, site);
    if (unfenced != 0)
        report(engine, "proxy", site, thread, "%s to byte %u of shared memory, where a thread stored and called no asyncProxyFence since", what,
               (unfenced - 1) * 4);
}

/// Starts `copy`, of which the source is known, to a multiple of `alignment`.
MOA_ENGINE_CALL void startCopy(Engine& engine, const char* what, BulkCopy& copy, uint32_t to, uint32_t bytes, uint32_t alignment, Mbarrier& barrier,
                               const Site& site) {
    const uint32_t thread = engine.running->thread, offset = to - engine.sharedBase;
    if (to % alignment != 0 || offset >= engine.sharedBytes || engine.sharedBytes - offset < bytes) {
        report(engine, to % alignment != 0 ? "misaligned" : "shared-out-of-bounds", site, thread, "%s of %u bytes to shared address 0x%x, byte %lld of %u",
               what, bytes, to, static_cast<long long>(to) - static_cast<long long>(engine.sharedBase), engine.sharedBytes);
        return;
    }
    if (!barrier.fenced) {
        report(engine, "mbarrier", site, thread, "%s on an mbarrier whose thread called no mbarrierInitFence after %s:%u", what,
               barrier.site.file_name(), barrier.site.line());
        barrier.fenced = true;
    }
    claimDestination(engine, what, to, bytes, site);
    barrier.issued += bytes;
    if (barrier.issued > barrier.expected) {
        report(engine, "transaction", site, thread, "copies of %u bytes in phase %u of the mbarrier at byte %u, which expects %u", barrier.issued,
               barrier.phase, barrier.address - engine.sharedBase, barrier.expected);
        barrier.expected = barrier.issued;
    }
    barrier.copyPhases = barrier.phase + 1;
    barrier.copySite = site;
    barrier.copyThread = thread;
    ++engine.counters.bulkCopies;
    engine.counters.bulkCopyBytes += bytes;

    copy.to = engine.shared + offset;
    copy.bytes = copy.end = bytes;
    copy.barrier = static_cast<uint32_t>(&barrier - &engine.mbarriers[0]);
    std::memset(copy.to, kPoison, bytes);
    const uint64_t draw = engine.random.next();
    const uint32_t when = draw & 15;
    copy.whenIdle = when >= 16 - engine.bulkWhenIdle;
    const bool now = when < engine.bulkAtIssue;
    if (!now && (draw >> 4 & 1) != 0) {
        copy.held = static_cast<std::byte*>(std::malloc(bytes));
        if (copy.held == nullptr) std::abort();
        readSource(copy, 0, bytes, copy.held);
    }
    engine.bulkCopies.push(copy);
    if (now) landBulkCopy(engine, engine.bulkCopies.size() - 1, true);
}

MOA_ENTRY void issueBulkCopy(Engine& engine, uint32_t to, const void* from, uint32_t bytes, uint32_t barrierAddress, Site site) {
    Lane& lane = *engine.running;
    if (bytes == 0 || bytes % kBulkGranule != 0) {
        report(engine, "misaligned", site, lane.thread, "bulkCopy of %u bytes; it takes a multiple of %u", bytes, kBulkGranule);
        return;
    }
    Mbarrier* const barrier = findMbarrier(engine, *lane.warp, "bulkCopy", barrierAddress, site);
    if (barrier == nullptr || !checkBulkSource(engine, from, bytes, site)) return;
    BulkCopy copy{};
    copy.from = static_cast<const std::byte*>(from);
    startCopy(engine, "bulkCopy", copy, to, bytes, kBulkGranule, *barrier, site);
}

}  // namespace moa::emulator
