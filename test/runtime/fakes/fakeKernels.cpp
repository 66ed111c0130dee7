// A kernel library for the emulated device, made by hand on the boundary of abi.h alone.
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "emulator/abi.h"

using namespace moa::emulator;

namespace {

struct FillParams {
    uint32_t* to;
    uint32_t count;
    uint32_t value;
};

void report(Launch* launch, const char* kind, const char* message) {
    if (launch->findingCount < launch->findingCapacity) {
        Finding& finding = launch->findings[launch->findingCount];
        std::snprintf(finding.kind, sizeof finding.kind, "%s", kind);
        std::snprintf(finding.message, sizeof finding.message, "%s", message);
    }
    launch->findingCount += 1;
}

int32_t checked(Launch* launch, size_t paramsBytes) {
    if (launch->abiVersion != kAbiVersion) return kWrongAbi;
    if (launch->paramsBytes != paramsBytes) return kWrongParamsBytes;
    if (reinterpret_cast<uintptr_t>(launch->params) % 64 != 0) report(launch, "misaligned", "the parameters are not 64-byte aligned");
    if (launch->blockThreads % 32 != 0) return kBadShape;
    launch->counters->blocks += launch->gridSize;
    return kOk;
}

}  // namespace

#define KERNEL extern "C" int32_t

// Adds `value` to every element; a range outside of every allocation is a finding and is not touched.
KERNEL fill_emulate(Launch* launch) {
    if (const int32_t status = checked(launch, sizeof(FillParams))) return status;
    FillParams p;
    std::memcpy(&p, launch->params, sizeof p);
    const auto begin = reinterpret_cast<uint64_t>(p.to), bytes = uint64_t{4} * p.count;
    for (uint64_t i = 0; i < launch->allocationCount; i += 1) {
        const Allocation& a = launch->allocations[i];
        if (i > 0 && launch->allocations[i - 1].begin >= a.begin) report(launch, "unsorted", "the allocation table is not sorted");
        if (begin < a.begin || begin + bytes > a.begin + a.bytes) continue;
        for (uint32_t k = 0; k < p.count; k += 1) p.to[k] += p.value;
        launch->counters->globalStoreBytes += bytes;
        return kOk;
    }
    report(launch, "out-of-bounds", "fill.cu:12: block 0 thread 0 writes outside of every buffer");
    return kOk;
}

// Writes where it was told without looking, as a kernel with a bug would.
KERNEL smash_emulate(Launch* launch) {
    if (const int32_t status = checked(launch, sizeof(FillParams))) return status;
    FillParams p;
    std::memcpy(&p, launch->params, sizeof p);
    for (uint32_t k = 0; k < p.count; k += 1) reinterpret_cast<uint8_t*>(p.to)[k] = static_cast<uint8_t>(p.value);
    return kOk;
}

// Stores the launch's seed.
KERNEL seed_emulate(Launch* launch) {
    if (const int32_t status = checked(launch, sizeof(FillParams))) return status;
    FillParams p;
    std::memcpy(&p, launch->params, sizeof p);
    std::memcpy(p.to, &launch->seed, 8);
    return kOk;
}

KERNEL noisy_emulate(Launch* launch) {
    char message[32];
    for (int i = 0; i < 100; i += 1) {
        std::snprintf(message, sizeof message, "finding %d", i);
        report(launch, "bank-conflict", message);
    }
    return kAborted;
}

KERNEL throws_emulate(Launch*) { throw std::runtime_error("from the kernel"); }
KERNEL aborts_emulate(Launch*) { return kAborted; }
