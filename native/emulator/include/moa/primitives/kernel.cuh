// What opens a kernel, for the host compiler: the kernel becomes a function of one lane, and the library exports `<name>_emulate`.
#pragma once
#include <moa/emulator/interface.hpp>

/// A device function. The host compiler decides what to inline, so that big kernels compile quickly.
#define MOA_DEVICE MOA_HIDDEN inline

/// Opens the kernel `name`, whose one parameter is `const Params& p`. A launch must have `threads` threads a block.
#define MOA_KERNEL(name, Params, threads, minBlocksPerSm)                                              \
    static void name(const Params& p);                                                                 \
    static_assert((minBlocksPerSm) >= 0);                                                              \
    extern "C" __attribute__((visibility("default"))) int32_t name##_emulate(moa::emulator::Launch* launch) { \
        return moa::emulator::emulate<Params, (threads), &name>(launch);                               \
    }                                                                                                  \
    static void name([[maybe_unused]] const Params& p)
