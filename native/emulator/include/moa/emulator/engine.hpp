// The state of the emulated machine: a launch, the block that runs, its warps and lanes.
#pragma once
#include <moa/emulator/list.hpp>
#include <moa/emulator/random.hpp>
#include <moa/emulator/stackPool.hpp>
#include <moa/emulator/wgmmaState.hpp>

namespace moa::emulator {

struct Lane;
struct NamedArray;

/// Something that all lanes of a warp do together: `execute` runs once, when the last lane has arrived.
struct Operation {
    const char* name;
    void (*execute)(Engine&, Warp&);
};

/// An access to shared memory that waits for its place in a warp-wide instruction (bankConflicts.hpp).
struct SharedAccess {
    Site site;
    uint32_t address;
    uint16_t bytes;
    bool counted;
};

/// A copy that was issued and not yet waited for (asyncCopies.hpp).
struct AsyncCopy {
    std::byte* to;
    const std::byte* from;  ///< null: zeros
    Site site;
    uint32_t group;
    bool readAtIssue;  ///< `bytes` holds the source
    bool early;        ///< may land before the wait
    bool landed;
    alignas(16) std::byte bytes[16];
};

/// A barrier in shared memory that counts arrivals and bytes (mbarriers.hpp). Bytes are those of the phase in progress.
struct Mbarrier {
    Site site;  ///< that initialised it
    Site copySite;
    uint32_t thread;  ///< that initialised it
    uint32_t copyThread;
    uint32_t address;
    uint32_t arrivals;  ///< that a phase takes
    uint32_t missing;   ///< of the phase in progress
    uint32_t phase;     ///< how many have completed
    uint32_t expected, issued, landed;
    uint32_t copyPhases;    ///< the last phase with a copy, plus 1
    uint32_t awaitedPhases;  ///< how many of the completed phases a wait has seen
    uint32_t meetings;      ///< of the block, when it was initialised
    bool fenced;
};

/// A part of a matrix in global memory that a tensor copy copies (tensorBox.hpp).
struct TensorBox {
    const std::byte* matrix;
    uint64_t rows, columns, rowBytes;  ///< of the matrix
    int64_t row, column;               ///< of the first element, which may lie outside
};

/// A bulk copy or a tensor copy in flight (bulkCopies.hpp).
struct BulkCopy {
    std::byte* to;
    const std::byte* from;  ///< null: a tensor copy, of `box`
    TensorBox box;
    std::byte* held;  ///< what is to land, as it was at issue, or null
    uint32_t bytes;
    uint32_t begin, end;  ///< what has not landed yet
    uint32_t barrier;     ///< its index
    bool whenIdle;        ///< lands only when no warp can run
};

struct NamedBarrier {
    Site site;       ///< where the first warp came
    Site otherSite;  ///< where one came that waits elsewhere than the first that does
    uint32_t otherWarp;
    uint32_t threads;
    uint32_t waiting;  ///< a bit for each warp that waits
    uint32_t arrived;  ///< and for each that came and went on
    bool differs;
};

/// Why a warp cannot run. `woken`: it could not, for an mbarrier, and has not run since.
enum class Blocked : uint8_t { no, blockBarrier, namedBarrier, mbarrier, woken };

struct MOA_HIDDEN Lane {
    Fiber fiber;
    Warp* warp;
    uint32_t thread;
    uint32_t lane;
    List<SharedAccess> accesses;
    List<AsyncCopy> copies;
    uint32_t firstCopy;   ///< those before it were waited for
    uint32_t openGroup;   ///< the group that the next commit closes
    uint32_t proxyFences;
    bool waited;          ///< as of its warp, before the warp's next operation
};

/// What the lanes bring to an operation. Each writes its own part before it arrives.
union WarpInput {
    struct {
        alignas(16) uint32_t a[16][8];  ///< 16 x 16 elements, row-major
        alignas(16) uint16_t b[16][8];  ///< k x n
        alignas(16) float d[16][8];
    } mma;
    const std::byte* rows[kLanes];
    struct {
        uint32_t value[kLanes];
        uint32_t from[kLanes];
    } exchange;
    struct {
        float* d[kLanes];
        const uint32_t* fragments[kLanes];
        uint64_t a[kLanes], b[kLanes];  ///< descriptors
        uint32_t accumulate[kLanes];
    } product;
    struct {
        uint32_t pending, count;
        const NamedArray* arrays;  ///< lane 0's
    } wait;
};

/// What they take from it. Apart from the input, because a lane may bring its next input before another took its last result.
union WarpOutput {
    alignas(16) float d[16][8];
    alignas(16) uint32_t fragments[kLanes][4];
    uint32_t value[kLanes];
};

struct MOA_HIDDEN Warp {
    WarpInput input;
    WarpOutput output;
    Lane* lanes;
    const uint8_t* order;  ///< the order in which its lanes run until their next operation
    uint32_t position;     ///< how many of `order` have run or are running
    uint32_t waiting;      ///< lanes that have arrived at `operation`
    uint32_t exited;
    const Operation* operation;
    Site site;
    uint32_t index;
    uint32_t accesses;      ///< shared-memory accesses of all its lanes, not yet grouped
    uint32_t earlyCopies;   ///< copies of its lanes that may land at the next whim
    const Allocation* lastHit;
    bool waited;          ///< for the launches before this one: in a lane, and there was an operation since
    bool laneWaited;
    Blocked blocked;
    uint32_t awaited;     ///< what blocks it: an index into `mbarriers`, or the id of a named barrier
    uint32_t parity;
    WarpProducts products;
    uint32_t registers;   ///< of a thread, once it has called for a number of them; 0 before
    Site registersSite;
};

struct MOA_HIDDEN Engine {
    static constexpr uint32_t kOrders = 16;
    static constexpr uint32_t kNamedBarriers = 16;
    static constexpr uint32_t kNotDrawn = ~0u;

    // The launch.
    Launch* launch;
    void (*body)(const void*);
    const void* params;
    Counters counters;
    List<Site> reportedSites[2];  ///< kinds reported once a site: bank conflicts, what is pending
    bool aborted;

    // The block.
    Random random;
    uint32_t block;
    uint32_t warpCount;
    Lane* running;
    Warp* activeWarp;
    uint32_t runnable;        ///< a bit for every warp that is not blocked and has not exited
    uint32_t exitedWarps;
    uint32_t barrierWarps;    ///< warps that wait at the block barrier
    Site barrierSite;
    uint32_t meetings;        ///< how often warps have met at barriers of the block
    NamedBarrier named[kNamedBarriers];
    uint8_t orders[kOrders][kLanes];
    uint8_t warpPriority[kMaxWarps];
    bool fixedPriority;       ///< a warp early in `warpPriority` always runs before the others
    bool starving;            ///< `victim`, now and then another, runs when no other warp can
    uint32_t victim;
    uint32_t preemptMask;     ///< after an operation another warp may run when (random & mask) == 0
    uint32_t earlyPerSixteen; ///< how many copies of 16 land early

    // Shared memory.
    std::byte* shared;
    uint32_t sharedBytes;
    uint32_t sharedBase;

    // Barriers in shared memory and bulk copies. `words` describes each 4 bytes of shared memory once the block has such a barrier.
    bool tracking;
    List<uint32_t> words;
    List<Mbarrier> mbarriers;
    List<BulkCopy> bulkCopies;
    uint32_t bulkAtIssue, bulkWhenIdle;  ///< how many bulk copies of 16 land at once, and how many only when no warp can run
    uint32_t lateProducts;  ///< how many products of 16 wait (wgmma.hpp), or `kNotDrawn`

    // What outlives a launch, so that the next need not make it.
    Fiber scheduler;
    StackPool stacks;
    Lane lanes[kMaxThreads];
    Warp warps[kMaxWarps];
    std::byte* sharedStorage = nullptr;
    size_t sharedStorageBytes = 0;

    Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;
    ~Engine() { std::free(sharedStorage); }
};

MOA_PRIMITIVE Engine& engine() { return StackPool::engineOfThisStack(); }

}  // namespace moa::emulator
