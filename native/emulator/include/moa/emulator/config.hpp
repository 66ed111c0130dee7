// What every emulator header needs: the boundary struct, source sites, and how functions are marked.
//
// A kernel library is two translation units: the kernel, which sees interface.hpp alone, and engine.cpp, which is the same for all kernels
// and compiled once. Everything is hidden: two libraries in one process share nothing, whatever flags they were loaded with. Headers stay
// lean (no containers, no streams), because each kernel pays for them at compile time.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>

#include "../../../abi.h"

static_assert(std::endian::native == std::endian::little, "fragments and pages are little-endian");

#define MOA_HIDDEN __attribute__((visibility("hidden")))
/// A primitive: so thin that a call would cost more than the body.
#define MOA_PRIMITIVE __attribute__((visibility("hidden"), always_inline)) inline
/// Part of the engine that kernels call: declared in interface.hpp.
#define MOA_ENTRY __attribute__((visibility("hidden"), noinline))
/// Part of the engine.
#define MOA_ENGINE MOA_HIDDEN inline
/// Part of the engine that is shared by all its callers.
#define MOA_ENGINE_CALL __attribute__((visibility("hidden"), noinline)) inline
/// Part of the engine that runs when a kernel is wrong.
#define MOA_ENGINE_COLD __attribute__((visibility("hidden"), noinline, cold)) inline

namespace moa::emulator {

inline constexpr uint32_t kLanes = 32;
inline constexpr uint32_t kMaxThreads = 1024;
inline constexpr uint32_t kMaxWarps = kMaxThreads / kLanes;
/// What memory holds before it is written, and what a rejected load returns: a NaN in every floating-point type.
inline constexpr int kPoison = 0xFF;

using Site = std::source_location;

/// Sites are almost always the same object when they are the same place; the text decides when they are not.
MOA_PRIMITIVE bool sameSite(const Site& a, const Site& b) {
    static_assert(sizeof(Site) == sizeof(const void*));
    if (std::bit_cast<const void*>(a) == std::bit_cast<const void*>(b)) return true;
    return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0 &&
           std::strcmp(a.function_name(), b.function_name()) == 0;
}

}  // namespace moa::emulator
