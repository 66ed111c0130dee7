// What kernels see of the engine, which is compiled apart (engine.cpp): its state, and the functions that primitives call.
#pragma once
#include <moa/emulator/engine.hpp>

namespace moa::emulator {

// Findings, lanes and warps (findings.hpp, schedule.hpp, exchange.hpp).
[[gnu::cold, gnu::format(printf, 5, 6)]] MOA_ENTRY void report(Engine& engine, const char* kind, Site site, uint32_t thread,
                                                             const char* format, ...);
MOA_ENTRY void arrive(Engine& engine, const Operation& operation, Site site);
MOA_ENTRY void arriveWith(const Operation& operation, uint32_t first, uint32_t second, Site site);
MOA_ENTRY uint32_t exchange(const Operation& operation, uint32_t value, uint32_t from, Site site);
MOA_ENTRY void preemptLane(Engine& engine);

// Memory (accesses.hpp): where an access of `bytes` bytes may happen. Null or false after a finding.
MOA_ENTRY const std::byte* sharedToLoad(uint32_t address, uint32_t bytes, Site site);
MOA_ENTRY std::byte* sharedToStore(uint32_t address, uint32_t bytes, Site site);
MOA_ENTRY bool globalToLoad(const void* address, uint32_t bytes, Site site);
MOA_ENTRY bool globalToStore(const void* address, uint32_t bytes, Site site);
MOA_ENTRY uint32_t incrementGlobal(uint32_t* counter, uint32_t limit, Site site);

// Copies (asyncCopies.hpp, mbarriers.hpp, bulkCopies.hpp, tensorCopies.hpp).
MOA_ENTRY void issueCopy(Engine& engine, uint32_t to, const void* from, bool valid, Site site);
MOA_ENTRY void waitForCopies(Engine& engine, uint32_t pending);
MOA_ENTRY void initMbarrier(Engine& engine, uint32_t address, uint32_t arrivals, Site site);
MOA_ENTRY void fenceMbarriers(Engine& engine);
MOA_ENTRY void arriveAtMbarrier(Engine& engine, const char* what, uint32_t address, uint32_t arrivals, uint32_t bytes, Site site);
MOA_ENTRY void issueBulkCopy(Engine& engine, uint32_t to, const void* from, uint32_t bytes, uint32_t barrier, Site site);
MOA_ENTRY bool readTensorMap(Engine& engine, const char* what, const void* map, TensorMapImage& image, Site site);
MOA_ENTRY void issueTensorCopy(Engine& engine, uint32_t to, const void* map, int row, int column, uint32_t barrier, Site site);

// Operations of a whole warp (schedule.hpp, exchange.hpp, namedBarriers.hpp, warpgroups.hpp).
MOA_ENTRY void executeBlockBarrier(Engine& engine, Warp& warp);
MOA_ENTRY void executeMbarrierWait(Engine& engine, Warp& warp);
MOA_ENTRY void executeShuffle(Engine& engine, Warp& warp);
MOA_ENTRY void executeVote(Engine& engine, Warp& warp);
MOA_ENTRY void executeTranspose(Engine& engine, Warp& warp);
MOA_ENTRY void executeNothing(Engine& engine, Warp& warp);
template <bool kWaits>
MOA_ENTRY void executeNamedBarrier(Engine& engine, Warp& warp);
template <bool kRaise>
MOA_ENTRY void executeSetRegisters(Engine& engine, Warp& warp);

/// The engine knows this one by its address, so it is one object in the whole library.
MOA_HIDDEN inline constexpr Operation kBlockBarrier{"blockBarrier", executeBlockBarrier};
static constexpr Operation kMbarrierWait{"mbarrierWait", executeMbarrierWait};
static constexpr Operation kShuffle{"shuffle", executeShuffle};
static constexpr Operation kVote{"a vote", executeVote};
static constexpr Operation kTranspose{"transposeMatrix", executeTranspose};
static constexpr Operation kWarpBarrier{"warpBarrier", executeNothing};
static constexpr Operation kNamedBarrier{"namedBarrier", executeNamedBarrier<true>};
static constexpr Operation kNamedBarrierArrive{"namedBarrierArrive", executeNamedBarrier<false>};
static constexpr Operation kRaiseRegisters{"raiseRegisters", executeSetRegisters<true>};
static constexpr Operation kLowerRegisters{"lowerRegisters", executeSetRegisters<false>};

// The matrix unit (matrixUnit.hpp).
template <class Element>
MOA_ENTRY void executeMma(Engine& engine, Warp& warp);
template <bool kTransposed>
MOA_ENTRY void executeLdmatrix(Engine& engine, Warp& warp);
/// The running lane's part of a product of a warp, as mma16816 has it, and of a load of four matrices.
MOA_ENTRY void multiplyFragments(float* d, const uint32_t* a, uint32_t b0, uint32_t b1, const Operation& operation, Site site);
MOA_ENTRY void loadMatrices(uint32_t* r, uint32_t row, const Operation& operation, Site site);

template <class Element>
static constexpr Operation kMma{"mma16816", executeMma<Element>};
template <bool kTransposed>
static constexpr Operation kLdmatrix{kTransposed ? "ldmatrixX4Transposed" : "ldmatrixX4", executeLdmatrix<kTransposed>};

// Products of a warpgroup (wgmma.hpp).

/// Where the operands of a product lie: both in shared memory, K-major; A in registers and B K-major; A in registers and B MN-major.
enum class Form { shared, registersKMajor, registers };

template <class Element, uint32_t kColumns, Form kForm>
MOA_ENTRY void executeWgmma(Engine& engine, Warp& warp);
MOA_ENTRY void executeWgmmaFence(Engine& engine, Warp& warp);
MOA_ENTRY void executeWgmmaCommit(Engine& engine, Warp& warp);
MOA_ENTRY void executeWgmmaWait(Engine& engine, Warp& warp);

/// An array that a wait names.
struct NamedArray {
    template <size_t kSize>
    MOA_PRIMITIVE NamedArray(float (&array)[kSize], const Site& at = Site::current()) : begin(array), end(array + kSize), site(at) {}
    const float* begin;
    const float* end;
    Site site;
};

/// The running lane waits for all but `pending` batches, and names `count` arrays.
MOA_ENTRY void waitForProducts(uint32_t pending, const NamedArray* arrays, uint32_t count, Site site);

template <class Element, uint32_t kColumns>
static constexpr Operation kWgmmaShared{"wgmmaShared", executeWgmma<Element, kColumns, Form::shared>};
template <class Element, uint32_t kColumns>
static constexpr Operation kWgmmaRegistersKMajor{"wgmmaRegistersKMajor", executeWgmma<Element, kColumns, Form::registersKMajor>};
template <class Element, uint32_t kColumns>
static constexpr Operation kWgmmaRegisters{"wgmmaRegisters", executeWgmma<Element, kColumns, Form::registers>};
static constexpr Operation kWgmmaFence{"wgmmaFence", executeWgmmaFence};
static constexpr Operation kWgmmaCommit{"wgmmaCommit", executeWgmmaCommit};
static constexpr Operation kWgmmaWait{"wgmmaWait", executeWgmmaWait};

/// The lane's part of a product with A in registers.
MOA_PRIMITIVE void bringFragments(float* d, const uint32_t* a, uint64_t b, bool accumulate) {
    const Lane& lane = *engine().running;
    auto& input = lane.warp->input.product;
    input.d[lane.lane] = d;
    input.fragments[lane.lane] = a;
    input.a[lane.lane] = 0;
    input.b[lane.lane] = b;
    input.accumulate[lane.lane] = accumulate ? 1 : 0;
}

/// Closes the lane's open group of copies, even when it is empty.
MOA_PRIMITIVE void commitCopies(Lane& lane) { ++lane.openGroup; }

/// For the launches before this one. Lanes of a warp run one after another, so a wait of one counts for the others from the warp's next
/// operation on.
MOA_PRIMITIVE bool hasWaited(const Lane& lane) { return lane.warp->waited || lane.waited; }

MOA_ENTRY int32_t runLaunch(Launch& launch, void (*body)(const void*), const void* params);

/// What a kernel library exports. `kThreads` is the block size that the kernel was compiled for.
template <class Params, uint32_t kThreads, void (*kKernel)(const Params&)>
int32_t emulate(Launch* launch) {
    static_assert(std::is_trivially_copyable_v<Params>, "parameters are copied as bytes");
    static_assert(kThreads % kLanes == 0 && kThreads > 0 && kThreads <= kMaxThreads);
    if (launch == nullptr || launch->abiVersion != kAbiVersion) return kWrongAbi;
    if (launch->paramsBytes != sizeof(Params)) return kWrongParamsBytes;
    if (launch->blockThreads != kThreads) return kBadShape;
    alignas(Params) std::byte params[sizeof(Params)];  // the caller's copy may lie at any address
    std::memcpy(params, launch->params, sizeof(Params));
    return runLaunch(*launch, [](const void* p) { kKernel(*static_cast<const Params*>(p)); }, params);
}

}  // namespace moa::emulator
