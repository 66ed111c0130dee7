// Checked global memory: an access lies wholly in one allocation of the launch's table. A programmatic launch may begin before the one
// before it has ended: until a warp has waited, it must not write, nor read what that launch wrote.
#pragma once
#include <moa/emulator/findings.hpp>

namespace moa::emulator {

/// The last allocation that begins at or before `address`, or null.
MOA_ENGINE const Allocation* allocationBefore(const Launch& launch, uint64_t address) {
    uint64_t low = 0, high = launch.allocationCount;  // those below `low` begin at or before it, those from `high` on after it
    while (low < high) {
        const uint64_t middle = (low + high) / 2;
        if (launch.allocations[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? nullptr : &launch.allocations[low - 1];
}

MOA_PRIMITIVE bool holds(const Allocation& allocation, uint64_t address, uint32_t bytes) {
    const uint64_t offset = address - allocation.begin;
    return offset < allocation.bytes && allocation.bytes - offset >= bytes;
}

MOA_ENGINE_COLD bool rejectGlobal(Engine& engine, const char* what, uint64_t address, uint32_t bytes, const Site& site) {
    using Shown = unsigned long long;  // what %llu takes
    const uint32_t thread = engine.running->thread;
    const Shown shown = address;
    const Allocation* const before = allocationBefore(*engine.launch, address);
    if (before == nullptr) {
        report(engine, "out-of-bounds", site, thread, "%s of %u bytes at 0x%llx, before every allocation", what, bytes, shown);
        return false;
    }
    const Shown offset = address - before->begin, id = before->id, size = before->bytes;
    if (!holds(*before, address, bytes))
        report(engine, "out-of-bounds", site, thread, "%s of %u bytes at 0x%llx: byte %llu from the start of allocation %llu, which has %llu",
               what, bytes, shown, offset, id, size);
    else
        report(engine, "misaligned", site, thread, "%s of %u bytes at 0x%llx, byte %llu of allocation %llu, is not aligned to its size",
               what, bytes, shown, offset, id);
    return false;
}

MOA_ENGINE_CALL bool searchGlobal(Engine& engine, const char* what, uint64_t address, uint32_t bytes, const Site& site) {
    const Allocation* const found = allocationBefore(*engine.launch, address);
    if (found == nullptr || !holds(*found, address, bytes)) return rejectGlobal(engine, what, address, bytes, site);
    engine.running->warp->lastHit = found;
    return true;
}

/// True if the access may happen; otherwise there is a finding. `bytes` is a power of two, and the alignment.
MOA_PRIMITIVE bool checkGlobal(Engine& engine, const char* what, const void* pointer, uint32_t bytes, const Site& site) {
    const uint64_t address = reinterpret_cast<uintptr_t>(pointer);
    if (address % bytes != 0) [[unlikely]]
        return rejectGlobal(engine, what, address, bytes, site);
    const Allocation* const last = engine.running->warp->lastHit;
    if (last != nullptr && holds(*last, address, bytes)) [[likely]]
        return true;
    return searchGlobal(engine, what, address, bytes, site);
}

/// The running lane has not waited: reports a read of what the launch before wrote.
MOA_ENGINE_COLD void checkEarlyRead(Engine& engine, const char* what, const void* pointer, uint32_t bytes, const Site& site) {
    const Allocation& allocation = *engine.running->warp->lastHit;
    if (allocation.written == nullptr) return;
    const uint64_t offset = reinterpret_cast<uintptr_t>(pointer) - allocation.begin;
    for (uint64_t i = offset / kWrittenGranule; i <= (offset + bytes - 1) / kWrittenGranule; ++i) {
        if (allocation.written[i] != engine.launch->number - 1) continue;
        report(engine, "early-read", site, engine.running->thread,
               "%s reads bytes %llu to %llu of allocation %llu, which the launch before wrote, and its warp has not called waitForPrerequisites",
               what, static_cast<unsigned long long>(offset), static_cast<unsigned long long>(offset + bytes - 1),
               static_cast<unsigned long long>(allocation.id));
        return;
    }
}

MOA_ENGINE_COLD void reportEarlyWrite(Engine& engine, const char* what, const Site& site) {
    report(engine, "early-write", site, engine.running->thread,
           "%s in a programmatic launch, and its warp has not called waitForPrerequisites: the launch before may still read this", what);
}

/// After `checkGlobal` let a read happen.
MOA_PRIMITIVE void noteGlobalRead(Engine& engine, const char* what, const void* pointer, uint32_t bytes, const Site& site) {
    if (!hasWaited(*engine.running)) [[unlikely]]
        checkEarlyRead(engine, what, pointer, bytes, site);
}

/// After `checkGlobal` let a write of at most 16 bytes happen.
MOA_PRIMITIVE void noteGlobalWrite(Engine& engine, const char* what, const void* pointer, const Site& site) {
    if (!hasWaited(*engine.running)) [[unlikely]]
        reportEarlyWrite(engine, what, site);
    const Allocation& allocation = *engine.running->warp->lastHit;
    if (allocation.written != nullptr)
        allocation.written[(reinterpret_cast<uintptr_t>(pointer) - allocation.begin) / kWrittenGranule] = engine.launch->number;
}

}  // namespace moa::emulator
