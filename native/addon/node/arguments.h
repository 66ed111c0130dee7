// Checks the arguments of one call from JavaScript. Nothing reaches a backend that has not come through here.
#pragma once
#include <napi.h>

#include <cstdint>
#include <string>

#include "addon/device.h"

namespace moa {

/// The largest integer that a JavaScript number holds exactly.
inline constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;

class Arguments {
public:
    Arguments(const Napi::CallbackInfo& info, const char* function) : info_(info), function_(function) {}

    /// Misuse for what is no integer; the tables say what else is wrong with it.
    uint64_t handle(size_t i) const;
    /// Misuse for what is no number, OutOfRange for what is no integer between `least` and `most`.
    uint64_t integer(size_t i, const char* name, uint64_t least, uint64_t most) const;
    uint32_t integer32(size_t i, const char* name, uint32_t least, uint32_t most) const;
    uint64_t byteCount(size_t i, const char* name) const { return integer(i, name, 0, kMaxSafeInteger); }
    /// The bytes of a Uint8Array: valid during the call only. Refuses detached and shared memory: another thread could change or
    /// shrink shared memory in the middle of a copy.
    Bytes bytes(size_t i, const char* name) const;
    std::string text(size_t i, const char* name) const;
    /// A boolean; an argument that was left out is false.
    bool flag(size_t i, const char* name) const;
    /// A BigInt from 0 to 2^64 - 1.
    uint64_t seed(size_t i, const char* name) const { return seedOf(at(i), name); }

    uint64_t integerOf(const Napi::Value& value, const char* name, uint64_t least, uint64_t most) const;
    uint64_t seedOf(const Napi::Value& value, const char* name) const;
    Napi::Value at(size_t i) const { return info_[i]; }

private:
    [[noreturn]] void misuse(const char* name, const std::string& expected) const;

    const Napi::CallbackInfo& info_;
    const char* function_;
};

}  // namespace moa
