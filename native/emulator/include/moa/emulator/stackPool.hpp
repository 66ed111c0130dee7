// The stacks of one operating-system thread: made once, used by every block of every launch.
//
//     region (aligned to kRegionBytes)
//     | header: Engine* | slot 0: guard page, stack | slot 1: guard page, stack | ...
//
// The region's alignment lets a primitive find its engine from the stack pointer: cheaper than thread-local storage in a shared object,
// and all lanes read the same cache line.
#pragma once
#include <sys/mman.h>

#include <moa/emulator/fiber.hpp>

namespace moa::emulator {

struct Engine;

class MOA_HIDDEN StackPool {
public:
    static constexpr size_t kPageBytes = 4096;
    static constexpr size_t kSlotBytes = 64 * 1024;
    static constexpr size_t kRegionBytes = size_t{128} << 20;
    static_assert(kRegionBytes >= (kMaxThreads + 1) * kSlotBytes);

    StackPool() = default;
    StackPool(const StackPool&) = delete;
    StackPool& operator=(const StackPool&) = delete;
    ~StackPool() {
        if (region_ != nullptr) munmap(region_, kRegionBytes);
    }

    /// Makes at least `count` stacks; false when the system has no memory for them.
    bool reserve(uint32_t count, Engine* engine) {
        if (region_ == nullptr && !makeRegion(engine)) return false;
        for (; ready_ < count; ++ready_)
            if (mprotect(slot(ready_) + kGuardBytes, kSlotBytes - kGuardBytes, PROT_READ | PROT_WRITE) != 0) return false;
        return true;
    }

    void prepare(Fiber& fiber, uint32_t index, void (*entry)()) {
        // Tops are shifted by a different number of cache lines each. At one common offset all stacks would share a few cache sets.
        const size_t shift = (index * 11 % 64) * 64;
        prepareFiber(fiber, slot(index) + kGuardBytes, kSlotBytes - kGuardBytes - shift, entry);
    }

    MOA_PRIMITIVE static Engine& engineOfThisStack() {
        return **reinterpret_cast<Engine**>(stackAddress() & ~(kRegionBytes - 1));
    }

private:
    static constexpr size_t kGuardBytes = 4 * kPageBytes;

    std::byte* slot(uint32_t index) { return region_ + (index + 1) * kSlotBytes; }

    bool makeRegion(Engine* engine) {
        // Twice the size, to cut an aligned half out of it. Pages without access cost address space only.
        void* const space = mmap(nullptr, 2 * kRegionBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (space == MAP_FAILED) return false;
        std::byte* const start = static_cast<std::byte*>(space);
        const size_t before = -reinterpret_cast<uintptr_t>(start) & (kRegionBytes - 1);
        if (before != 0) munmap(start, before);
        munmap(start + before + kRegionBytes, kRegionBytes - before);
        region_ = start + before;
        if (mprotect(region_, kPageBytes, PROT_READ | PROT_WRITE) != 0) {
            munmap(region_, kRegionBytes);
            region_ = nullptr;
            return false;
        }
        *reinterpret_cast<Engine**>(region_) = engine;
        return true;
    }

    std::byte* region_ = nullptr;
    uint32_t ready_ = 0;
};

}  // namespace moa::emulator
