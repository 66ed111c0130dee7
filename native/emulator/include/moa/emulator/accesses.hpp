// Plain accesses to memory, checked, logged and counted: what loads, stores and atomics call (interface.hpp).
#pragma once
#include <moa/emulator/globalMemory.hpp>
#include <moa/emulator/sharedMemory.hpp>

namespace moa::emulator {

MOA_ENTRY const std::byte* sharedToLoad(uint32_t address, uint32_t bytes, Site site) {
    Engine& self = engine();
    const std::byte* const from = resolveShared(self, "loadShared", address, bytes, site);
    if (from == nullptr) [[unlikely]]
        return nullptr;
    logAccess(*self.running, address, bytes, site);
    if (self.tracking) noteSharedLoad(self, "loadShared", address, site);
    return from;
}

MOA_ENTRY std::byte* sharedToStore(uint32_t address, uint32_t bytes, Site site) {
    Engine& self = engine();
    std::byte* const to = resolveShared(self, "storeShared", address, bytes, site);
    if (to == nullptr) [[unlikely]]
        return nullptr;
    logAccess(*self.running, address, bytes, site);
    if (self.tracking) noteSharedStore(self, "storeShared", address, bytes, site);
    return to;
}

MOA_ENTRY bool globalToLoad(const void* address, uint32_t bytes, Site site) {
    Engine& self = engine();
    if (!checkGlobal(self, "loadGlobal", address, bytes, site)) [[unlikely]]
        return false;
    noteGlobalRead(self, "loadGlobal", address, bytes, site);
    self.counters.globalLoadBytes += bytes;
    return true;
}

MOA_ENTRY bool globalToStore(const void* address, uint32_t bytes, Site site) {
    Engine& self = engine();
    if (!checkGlobal(self, "storeGlobal", address, bytes, site)) [[unlikely]]
        return false;
    noteGlobalWrite(self, "storeGlobal", address, site);
    self.counters.globalStoreBytes += bytes;
    return true;
}

/// The old value, or all ones after a finding.
MOA_ENTRY uint32_t incrementGlobal(uint32_t* counter, uint32_t limit, Site site) {
    Engine& self = engine();
    if (!checkGlobal(self, "atomicIncrementWrap", counter, sizeof *counter, site)) [[unlikely]]
        return ~0u;
    noteGlobalWrite(self, "atomicIncrementWrap", counter, site);
    ++self.counters.atomics;
    const uint32_t old = *counter;
    *counter = old >= limit ? 0 : old + 1;
    return old;
}

}  // namespace moa::emulator
