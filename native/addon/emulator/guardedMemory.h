// Memory of the emulated device. A write that misses a buffer is found, not silently absorbed:
//
//     [ guard 4 KiB | bytes ........ | rest of 256 | guard 4 KiB ]        the guards and the rest hold a pattern
//                   ^ address, a multiple of 256
#pragma once
#include <cstdlib>
#include <optional>

#include "addon/device.h"

namespace moa::emulator {

class EmulatorDevice;

class GuardedMemory final : public Memory {
public:
    /// Throws `MOA_OUT_OF_MEMORY` when the host has no room. The content starts as 0xFF: NaN in every floating format.
    GuardedMemory(EmulatorDevice& device, uint64_t number, uint64_t bytes);
    ~GuardedMemory() override;

    /// Removes the memory from the device, then reports a broken guard.
    void release() override;

    /// What was written outside the buffer since the last look, if anything; the guards are whole again after.
    std::optional<FindingText> takeGuardProblem();

    uint8_t* data() const { return reinterpret_cast<uint8_t*>(address); }
    uint64_t number() const { return number_; }
    /// The number of the launch that last wrote each granule (`Allocation::written`).
    uint32_t* written() const { return written_.get(); }
    /// The host writes here, which no launch overlaps.
    void forgetWriter(uint64_t offset, uint64_t size);

private:
    struct Freed {
        void operator()(void* pointer) const { std::free(pointer); }
    };
    void paintGuards();
    uint8_t patternAt(uint64_t position) const;
    std::optional<uint64_t> firstBroken(uint64_t from, uint64_t to) const;

    EmulatorDevice& device_;
    uint64_t number_;
    uint64_t total_ = 0;
    std::unique_ptr<uint8_t, Freed> storage_;
    std::unique_ptr<uint32_t, Freed> written_;
};

}  // namespace moa::emulator
