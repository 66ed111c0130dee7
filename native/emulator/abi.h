// The boundary between the runtime's addon and a kernel built for the emulator: one C struct in, an exit code out.
//
// A kernel library is a shared object made from one emitted .cu. It exports, for a kernel named K,
//     extern "C" int32_t K_emulate(moa::emulator::Launch*);
// The fibers, the checks and the counters live in headers that are compiled into that library; between launches it
// keeps a pool of stacks for each operating-system thread that has launched it, and nothing that a launch could notice. Any number of threads
// may launch at once. Load it with RTLD_LOCAL; it exports the entry and nothing else.
#pragma once
#include <cstdint>

namespace moa::emulator {

inline constexpr uint32_t kAbiVersion = 3;

/// One live device allocation. The array in a launch is sorted by `begin`; allocations do not touch each other.
struct Allocation {
    uint64_t begin;  ///< host address
    uint64_t bytes;
    uint64_t id;     ///< the runtime's number for it, for messages
    /// The number of the launch that last wrote each 16 bytes, counted from `begin`; 0: none, or the host since. Null: nobody asks.
    uint32_t* written;
};

inline constexpr uint32_t kWrittenGranule = 16;

/// What a launch did. All counts are over the whole grid; every field is a uint64_t (the addon copies them by name).
struct Counters {
    uint64_t blocks;             ///< CTAs run
    uint64_t tiles;              ///< count(Counter::tile)
    uint64_t pages;              ///< count(Counter::page)
    uint64_t globalLoadBytes;    ///< loadGlobal
    uint64_t globalStoreBytes;   ///< storeGlobal
    uint64_t asyncCopies;        ///< cpAsync16 that read memory
    uint64_t asyncCopyBytes;     ///< 16 x asyncCopies
    uint64_t zeroFills;          ///< cpAsync16 with valid == false
    uint64_t mma;                ///< warp-wide m16n8k16
    uint64_t ldmatrix;           ///< warp-wide x4
    uint64_t blockBarriers;      ///< per CTA
    uint64_t bankConflicts;      ///< extra shared-memory wavefronts beyond the fewest possible
    uint64_t atomics;
    uint64_t fiberSwitches;
    uint64_t bulkCopies;
    uint64_t bulkCopyBytes;
    uint64_t mbarrierWaits;      ///< per warp
    uint64_t namedBarriers;      ///< meetings
    uint64_t wgmma;              ///< warp-wide products of a warpgroup: four for each of its products
};

inline constexpr uint64_t kTensorMapMagic = 0x4d4f412d544d4150;  // "MOA-TMAP"

/// What a tensor map's 128 bytes begin with on the emulator: a matrix of 2-byte elements, copied in boxes of `boxRows` x 64 columns.
struct TensorMapImage {
    uint64_t magic;     ///< kTensorMapMagic
    uint64_t address;   ///< of the first element, a multiple of 16
    uint64_t rows;
    uint64_t columns;
    uint64_t rowBytes;  ///< from one row to the next, a multiple of 16
    uint32_t boxRows;   ///< 1 to 256
    uint32_t reserved;
};

/// A finding. `kind` is one of: out-of-bounds, misaligned, bank-conflict, divergence, deadlock, shared-out-of-bounds, pending-copy;
/// of barriers in shared memory, bulk and tensor copies: mbarrier, transaction, in-flight, proxy, named-barrier, tensor-map;
/// of a warpgroup: wgmma, pending-wgmma, warpgroup, registers;
/// of programmatic launches: early-read, early-write, early-launch, never-waited.
struct Finding {
    char kind[32];
    char message[480];  ///< file:line, block and thread, address, what was expected
};

struct Launch {
    uint32_t abiVersion;
    uint32_t gridSize;      ///< CTAs; the grid is one-dimensional
    uint32_t blockThreads;  ///< a multiple of 32
    uint32_t sharedBytes;   ///< dynamic shared memory
    const void* params;
    uint64_t paramsBytes;
    const Allocation* allocations;
    uint64_t allocationCount;
    uint64_t seed;          ///< draws the order of CTAs, warps and lanes and when asynchronous copies land
    uint32_t failOnBankConflict;  ///< 1: a conflict is a finding; 0: it is only counted
    uint32_t findingCapacity;
    Finding* findings;
    uint32_t findingCount;  ///< out; counts past the capacity too
    uint32_t programmatic;  ///< 1: may begin before the launch before it has ended, so the kernel must wait for it
    Counters* counters;     ///< added to
    uint32_t number;        ///< of this launch in `Allocation::written`; the launch before it has number - 1
    uint32_t reserved;
};

/// 0: ran (findings may still be there). Other values: the launch was refused before it began.
enum Status : int32_t { kOk = 0, kWrongAbi = 1, kWrongParamsBytes = 2, kBadShape = 3, kAborted = 4 };

}  // namespace moa::emulator
