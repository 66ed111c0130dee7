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

// What `Engine::words` says of 4 bytes: the thread that last stored there, after how many of its proxy fences, and three flags.
inline constexpr uint32_t kWordThread = (1u << 10) - 1;
inline constexpr uint32_t kWordFences = (1u << 19) - 1;  // above the thread
inline constexpr uint32_t kWordStored = 1u << 29;
inline constexpr uint32_t kWordInFlight = 1u << 30;
inline constexpr uint32_t kWordMbarrier = 1u << 31;

MOA_PRIMITIVE uint32_t storedBy(const Lane& lane) { return kWordStored | (lane.proxyFences & kWordFences) << 10 | lane.thread; }

MOA_ENGINE_COLD void rejectTracked(Engine& engine, const char* what, uint32_t address, uint32_t word, const Site& site) {
    const uint32_t thread = engine.running->thread;
    if (word & kWordMbarrier)
        report(engine, "mbarrier", site, thread, "%s at shared address 0x%x, byte %u, is where an mbarrier lies", what, address,
               address - engine.sharedBase);
    else
        report(engine, "in-flight", site, thread, "%s at shared address 0x%x, byte %u, where a bulk copy is in flight", what, address,
               address - engine.sharedBase);
}

/// A plain store in a block that has mbarriers; `resolveShared` let it happen.
MOA_ENGINE_CALL void noteSharedStore(Engine& engine, const char* what, uint32_t address, uint32_t bytes, const Site& site) {
    const uint32_t first = (address - engine.sharedBase) / 4, last = (address - engine.sharedBase + bytes - 1) / 4;
    const uint32_t stored = storedBy(*engine.running);
    uint32_t flags = 0;
    for (uint32_t i = first; i <= last; ++i) {
        const uint32_t kept = engine.words[i] & (kWordMbarrier | kWordInFlight);
        flags |= kept;
        engine.words[i] = kept | stored;
    }
    if (flags != 0) [[unlikely]]
        rejectTracked(engine, what, address, flags, site);
}

/// A plain load in such a block. What is in flight is NaN, and no finding.
MOA_PRIMITIVE void noteSharedLoad(Engine& engine, const char* what, uint32_t address, const Site& site) {
    const uint32_t word = engine.words[(address - engine.sharedBase) / 4];
    if (word & kWordMbarrier) [[unlikely]]
        rejectTracked(engine, what, address, word, site);
}

}  // namespace moa::emulator
