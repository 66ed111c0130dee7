// What a warp keeps of its products on a warpgroup's tensor cores (wgmma.hpp): those that no wait has covered, and accumulators in flight.
#pragma once
#include <moa/emulator/list.hpp>
#include <moa/emulator/random.hpp>

namespace moa::emulator {

struct Engine;
struct Warp;

inline constexpr uint32_t kWarpgroupWarps = 4;
/// Of the 64 rows of a product, those of one warp.
inline constexpr uint32_t kProductRows = 16;
inline constexpr uint32_t kMostProductColumns = 256;

/// An accumulator in flight: its values are here, and the lanes' arrays hold NaN.
struct Accumulator {
    float* arrays[kLanes];
    uint32_t columns;  ///< 0: the place is free
    uint32_t batch;    ///< the newest with a product on it
    Site site;         ///< of that product
    alignas(16) float values[kProductRows * kMostProductColumns];  ///< row-major
};

/// An operand in shared memory: rows of chunks of 16 bytes. K-major a row is of the outer dimension, MN-major of the inner one.
struct Operand {
    uint32_t start, leadingBytes, strideBytes;
    uint32_t firstRow, rows, chunks;
};

/// A product of one warp.
struct Product {
    const char* name;
    void (*multiply)(Engine&, Warp&, const Product&);
    Operand a, b;  ///< `a` has no rows when it is in registers
    const uint32_t* fragments[kLanes];  ///< those registers, where the lanes keep them
    uint32_t atIssue[kLanes][4];        ///< and what they held
    Site site;
    uint32_t accumulator;
    uint32_t batch;
    bool accumulate;
    bool readable;  ///< operands lie in shared memory as they should; otherwise the result is NaN
    bool reported;
};

struct MOA_HIDDEN WarpProducts {
    List<Product> products;  ///< in order of issue
    List<Accumulator> accumulators;
    uint32_t done;       ///< how many of `products` have been carried out
    uint32_t openBatch;  ///< the batch that the next commit closes
    uint32_t issued;     ///< all that there were, and what tells them apart: the four warps of a warpgroup have to agree
    uint64_t hash;
    Site site;           ///< of the last
    uint64_t places;     ///< the lines of products, fences, commits and waits, which have to agree as well (PTX .aligned)
    Site place;          ///< the last of these
    bool fenced;         ///< since the last commit or wait

    MOA_ENGINE void comeTo(const Site& at) {
        places = mixBits(places ^ at.line());
        place = at;
    }

    void clear() {
        products.clear();
        accumulators.clear();
        done = openBatch = issued = 0;
        hash = places = 0;
        fenced = false;
    }
};

}  // namespace moa::emulator
