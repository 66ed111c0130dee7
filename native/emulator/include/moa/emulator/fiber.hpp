// Switching between stacks.
//
// A switch saves the registers that a callee must keep and nothing else: no signal mask (a system call) and no floating-point control
// words (kernels do not change them). Other CPUs use ucontext, which is right and slow; so does MOA_EMULATOR_UCONTEXT, to test that path.
#pragma once
#include <cstddef>

#include <moa/emulator/config.hpp>

#if defined(__x86_64__) && defined(__linux__) && !defined(MOA_EMULATOR_UCONTEXT)

namespace moa::emulator {
struct Fiber {
    void* stackPointer;
};
}  // namespace moa::emulator

extern "C" __attribute__((visibility("hidden"))) void moaEmulatorSwitchFiber(moa::emulator::Fiber* from,
                                                                              moa::emulator::Fiber* to);
// Lanes of a warp suspend and resume at the same place, so the return at the end is predicted well.
asm(R"(
    .pushsection .text.moaEmulatorSwitchFiber,"ax",@progbits
    .weak moaEmulatorSwitchFiber
    .hidden moaEmulatorSwitchFiber
    .type moaEmulatorSwitchFiber, @function
    .p2align 4
moaEmulatorSwitchFiber:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size moaEmulatorSwitchFiber, .-moaEmulatorSwitchFiber
    .popsection
)");

namespace moa::emulator {

MOA_PRIMITIVE void switchFiber(Fiber& from, Fiber& to) { moaEmulatorSwitchFiber(&from, &to); }

/// Makes `fiber` start at `entry`, which never returns, when it is first switched to.
MOA_ENGINE void prepareFiber(Fiber& fiber, std::byte* stackBottom, size_t stackBytes, void (*entry)()) {
    // From the top: a zero return address for `entry` (so that a debugger's walk ends; it also gives `entry` the alignment that a
    // call would), the address that the switch returns to, then the six registers it pops.
    const uintptr_t top = reinterpret_cast<uintptr_t>(stackBottom + stackBytes) & ~uintptr_t{15};
    void** const words = reinterpret_cast<void**>(top) - 8;
    std::memset(static_cast<void*>(words), 0, 8 * sizeof(void*));
    words[6] = reinterpret_cast<void*>(entry);
    fiber.stackPointer = static_cast<void*>(words);
}

/// An address in the running stack.
MOA_PRIMITIVE uintptr_t stackAddress() {
    uintptr_t address;
    asm("movq %%rsp, %0" : "=r"(address));
    return address;
}

}  // namespace moa::emulator

#else
#include <ucontext.h>

namespace moa::emulator {

struct Fiber {
    ucontext_t context;
};

MOA_PRIMITIVE void switchFiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

MOA_ENGINE void prepareFiber(Fiber& fiber, std::byte* stackBottom, size_t stackBytes, void (*entry)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stackBottom;
    fiber.context.uc_stack.ss_size = stackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
}

MOA_PRIMITIVE uintptr_t stackAddress() { return reinterpret_cast<uintptr_t>(__builtin_frame_address(0)); }

}  // namespace moa::emulator
#endif
