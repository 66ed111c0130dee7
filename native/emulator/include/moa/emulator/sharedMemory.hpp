// Checked shared memory. It starts as NaN for every block; an address is an offset from a base that is never 0.
#pragma once
#include <moa/emulator/bankConflicts.hpp>

namespace moa::emulator {

MOA_ENGINE_COLD std::byte* rejectShared(Engine& engine, const char* what, uint32_t address, uint32_t bytes, const Site& site) {
    const bool aligned = address % bytes == 0;
    report(engine, aligned ? "shared-out-of-bounds" : "misaligned", site, engine.running->thread,
           aligned ? "%s of %u bytes at shared address 0x%x, byte %lld of %u" : "%s of %u bytes at shared address 0x%x, byte %lld of %u, "
                     "is not aligned to its size",
           what, bytes, address, static_cast<long long>(address) - static_cast<long long>(engine.sharedBase), engine.sharedBytes);
    return nullptr;
}

/// The bytes at `address`, or null after a finding. `bytes` is a power of two, and the alignment.
MOA_PRIMITIVE std::byte* resolveShared(Engine& engine, const char* what, uint32_t address, uint32_t bytes, const Site& site) {
    const uint32_t offset = address - engine.sharedBase;  // below the base it wraps to something large
    if (address % bytes != 0 || offset >= engine.sharedBytes || engine.sharedBytes - offset < bytes) [[unlikely]]
        return rejectShared(engine, what, address, bytes, site);
    return engine.shared + offset;
}

}  // namespace moa::emulator
