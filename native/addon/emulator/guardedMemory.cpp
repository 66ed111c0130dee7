#include "addon/emulator/guardedMemory.h"

#include <cstring>

#include "addon/emulator/emulatorDevice.h"

namespace moa::emulator {
namespace {

constexpr uint64_t kGuardBytes = 4096;
constexpr uint64_t kAlignment = 256;

}  // namespace

GuardedMemory::GuardedMemory(EmulatorDevice& device, uint64_t number, uint64_t size) : device_(device), number_(number) {
    bytes = size;
    const uint64_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
    total_ = kGuardBytes + rounded + kGuardBytes;
    storage_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, total_)));
    // Zeros that cost nothing until a launch writes.
    written_.reset(static_cast<uint32_t*>(std::calloc(rounded / kWrittenGranule + 1, sizeof(uint32_t))));
    if (!storage_ || !written_) throw Failure("MOA_OUT_OF_MEMORY", "the host has no room for a buffer of " + std::to_string(size) + " bytes");
    address = reinterpret_cast<uint64_t>(storage_.get()) + kGuardBytes;
    std::memset(data(), 0xFF, size);
    paintGuards();
}

GuardedMemory::~GuardedMemory() {
    try {
        release();
    } catch (...) {
    }
}

void GuardedMemory::release() {
    if (!storage_) return;
    const auto problem = takeGuardProblem();
    device_.forget(*this);
    storage_.reset();
    written_.reset();
    address = 0;
    if (problem) throw findingFailure("a guard of a buffer was found broken when it was freed", 1, {*problem});
}

void GuardedMemory::forgetWriter(uint64_t offset, uint64_t size) {
    if (size == 0) return;
    const uint64_t first = offset / kWrittenGranule, last = (offset + size - 1) / kWrittenGranule;
    std::memset(written_.get() + first, 0, (last - first + 1) * sizeof(uint32_t));
}

// The pattern depends on the buffer and on the position, so that a copy of another buffer's guard is found too. It is never 0xFF.
uint8_t GuardedMemory::patternAt(uint64_t position) const {
    return static_cast<uint8_t>((number_ * 37 + position * 11 + 0x5A) & 0x7F);
}

void GuardedMemory::paintGuards() {
    for (uint64_t i = 0; i < kGuardBytes; i += 1) storage_.get()[i] = patternAt(i);
    for (uint64_t i = kGuardBytes + bytes; i < total_; i += 1) storage_.get()[i] = patternAt(i);
}

std::optional<uint64_t> GuardedMemory::firstBroken(uint64_t from, uint64_t to) const {
    for (uint64_t i = from; i < to; i += 1)
        if (storage_.get()[i] != patternAt(i)) return i;
    return std::nullopt;
}

std::optional<FindingText> GuardedMemory::takeGuardProblem() {
    const std::string buffer = "buffer " + std::to_string(number_) + " (" + std::to_string(bytes) + " bytes) was written ";
    std::string where;
    // Before the buffer, the byte nearest to it tells most: look for the last one.
    uint64_t before = kGuardBytes;
    while (before > 0 && storage_.get()[before - 1] == patternAt(before - 1)) before -= 1;
    if (before > 0) where = std::to_string(kGuardBytes - before + 1) + " bytes before its start";
    if (const auto after = firstBroken(kGuardBytes + bytes, total_))
        where += (where.empty() ? "" : " and ") + std::to_string(*after - kGuardBytes - bytes) + " bytes past its end";
    if (where.empty()) return std::nullopt;
    paintGuards();
    return FindingText{"guard-band", buffer + where};
}

}  // namespace moa::emulator
