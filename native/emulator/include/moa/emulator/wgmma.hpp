// Products of a warpgroup (PTX wgmma), made as unkind as the model allows. A warp computes 16 of the 64 rows, by seed at issue, when a later
// product is carried out, or at the wait that covers it; that is when shared memory and the registers of A are read. The accumulator is NaN
// from issue until a wait that covers its products names it.
#pragma once
#include <moa/emulator/wgmmaOperands.hpp>

namespace moa::emulator {

/// d (+)= a b for the warp's rows, in float, adding in the order of k.
template <class Element, uint32_t kColumns, Form kForm>
MOA_ENGINE_CALL void multiply(Engine& engine, Warp& warp, const Product& product) {
    alignas(16) float a[kProductRows][16];
    alignas(16) float b[16][kColumns];
    auto* const values = warp.products.accumulators[product.accumulator].values;
    if (!product.readable) {
        std::memset(static_cast<void*>(values), kPoison, kProductRows * kColumns * sizeof(float));
        return;
    }
    if constexpr (kForm == Form::shared) {
        fetchOperand<Element>(engine, product.a, &a[0][0]);
    } else {
        alignas(16) uint32_t pairs[kProductRows][8];
        for (uint32_t lane = 0; lane < kLanes; ++lane)
            for (uint32_t i = 0; i < 4; ++i) pairs[lane / 4 + i % 2 * 8][lane % 4 + i / 2 * 4] = product.fragments[lane][i];
        decode<Element>(pairs, &a[0][0], kProductRows * 16);
    }
    if constexpr (kForm == Form::registers) {
        fetchOperand<Element>(engine, product.b, &b[0][0]);
    } else {
        alignas(16) float columns[kColumns][16];
        fetchOperand<Element>(engine, product.b, &columns[0][0]);
        for (uint32_t n = 0; n < kColumns; ++n)
            for (uint32_t k = 0; k < 16; ++k) b[k][n] = columns[n][k];
    }
    if (!product.accumulate) std::memset(static_cast<void*>(values), 0, kProductRows * kColumns * sizeof(float));
    constexpr uint32_t kRows = 4;  // rows at a time, of 8 columns: 8 sums stay in registers
    for (uint32_t row = 0; row < kProductRows; row += kRows) {
        for (uint32_t column = 0; column < kColumns; column += 8) {
            Float4 sums[kRows][2];
            for (uint32_t i = 0; i < kRows; ++i) std::memcpy(sums[i], values + (row + i) * kColumns + column, sizeof sums[i]);
            for (uint32_t k = 0; k < 16; ++k) {
                const Float4* const bRow = reinterpret_cast<const Float4*>(&b[k][column]);
#pragma GCC unroll 4
                for (uint32_t i = 0; i < kRows; ++i) {
                    sums[i][0] += a[row + i][k] * bRow[0];
                    sums[i][1] += a[row + i][k] * bRow[1];
                }
            }
            for (uint32_t i = 0; i < kRows; ++i) std::memcpy(values + (row + i) * kColumns + column, sums[i], sizeof sums[i]);
        }
    }
}

/// Calls `visit(pair of the lane, pair of the values)` for each two neighbours of the accumulator that a lane holds.
template <class Visit>
MOA_PRIMITIVE void forEachPair(Accumulator& accumulator, uint32_t lane, const Visit& visit) {
    float* const values = accumulator.values + lane / 4 * accumulator.columns + lane % 4 * 2;
    for (uint32_t j = 0; j < accumulator.columns / 8; ++j) {
        visit(accumulator.arrays[lane] + 4 * j, values + 8 * j);
        visit(accumulator.arrays[lane] + 4 * j + 2, values + 8 * accumulator.columns + 8 * j);
    }
}

/// The accumulator that the lanes brought: one in flight, or from now on.
MOA_ENGINE_CALL uint32_t holdAccumulator(Engine& engine, Warp& warp, uint32_t columns) {
    List<Accumulator>& all = warp.products.accumulators;
    float* const* const arrays = warp.input.product.d;
    uint32_t free = all.size();
    for (uint32_t i = 0; i < all.size(); ++i) {
        if (all[i].columns == 0) free = i;
        if (all[i].columns == 0 || all[i].arrays[0] != arrays[0]) continue;
        if (all[i].columns == columns && std::memcmp(all[i].arrays, arrays, sizeof all[i].arrays) == 0) return i;
        report(engine, "wgmma", warp.site, warp.index * kLanes, "%s on an accumulator that is in flight with another shape, from %s:%u",
               warp.operation->name, all[i].site.file_name(), all[i].site.line());
        abortLaunch(engine);
    }
    if (free == all.size()) all.resize(free + 1);
    Accumulator& accumulator = all[free];
    accumulator.columns = columns;
    std::memcpy(accumulator.arrays, arrays, sizeof accumulator.arrays);
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        forEachPair(accumulator, lane, [](const float* own, float* held) { std::memcpy(held, own, 2 * sizeof(float)); });
        std::memset(static_cast<void*>(arrays[lane]), kPoison, columns / 2 * sizeof(float));
    }
    return free;
}

/// Gives the lanes what the products made, in arrays that nobody may have touched.
MOA_ENGINE_CALL void landAccumulator(Engine& engine, Warp& warp, Accumulator& accumulator) {
    bool untouched = true;
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        uint32_t words[kMostProductColumns / 2], all = ~0u;
        std::memcpy(words, accumulator.arrays[lane], accumulator.columns / 2 * sizeof(float));
        for (uint32_t i = 0; i < accumulator.columns / 2; ++i) all &= words[i];
        if (all != ~0u && untouched) {
            report(engine, "wgmma", warp.site, warp.index * kLanes + lane,
                   "the thread wrote to the accumulator of the product at %s:%u before a wait that covers and names it", accumulator.site.file_name(),
                   accumulator.site.line());
            untouched = false;
        }
        forEachPair(accumulator, lane, [](float* own, const float* held) { std::memcpy(own, held, 2 * sizeof(float)); });
    }
    accumulator.columns = 0;
}

/// Carries out the products before `end`.
MOA_ENGINE_CALL void carryOut(Engine& engine, Warp& warp, uint32_t end, uint32_t checked) {
    WarpProducts& own = warp.products;
    for (; own.done < end; ++own.done) {
        Product& product = own.products[own.done];
        if (engine.tracking && own.done < checked) {
            checkOperand(engine, product, product.a);
            checkOperand(engine, product, product.b);
        }
        product.multiply(engine, warp, product);
    }
}

MOA_ENGINE void requireEqualProducts(Engine& engine, const Warp& warp) {
    const auto& input = warp.input.product;
    for (uint32_t lane = 1; lane < kLanes; ++lane) {
        if (input.a[lane] == input.a[0] && input.b[lane] == input.b[0] && input.accumulate[lane] == input.accumulate[0]) continue;
        report(engine, "divergence", warp.site, warp.index * kLanes + lane, "%s with other arguments than lane 0 of its warp", warp.operation->name);
        abortLaunch(engine);
    }
}

/// How many products of 16 are not carried out at issue, in this block.
MOA_ENGINE uint32_t lateProducts(Engine& engine) {
    constexpr uint32_t late[4] = {0, 4, 12, 16};
    if (engine.lateProducts == Engine::kNotDrawn) engine.lateProducts = late[engine.random.below(4)];
    return engine.lateProducts;
}

MOA_ENGINE_CALL void issueProduct(Engine& engine, Warp& warp, uint32_t columns, uint32_t element, Form form,
                                  void (*multiply)(Engine&, Warp&, const Product&)) {
    const bool inShared = form == Form::shared, kMajor = form != Form::registers;
    requireEqualProducts(engine, warp);
    ++engine.counters.wgmma;
    WarpProducts& own = warp.products;
    const auto& input = warp.input.product;
    if (!own.fenced) {
        report(engine, "wgmma", warp.site, warp.index * kLanes, "%s with no wgmmaFence since the last commit or wait", warp.operation->name);
        own.fenced = true;
    }
    ++own.issued;
    own.comeTo(warp.site);
    own.hash = mixBits(own.hash ^ mixBits(input.b[0] ^ mixBits(input.a[0] + (columns << 4 | element << 3 | static_cast<uint32_t>(form) << 1 | input.accumulate[0]))));
    own.site = warp.site;

    const uint32_t index = own.products.size();
    own.products.resize(index + 1);
    Product& product = own.products[index];
    product.name = warp.operation->name;
    product.multiply = multiply;
    product.site = warp.site;
    product.batch = own.openBatch;
    product.accumulate = input.accumulate[0] != 0;
    product.reported = false;
    product.a = decodeDescriptor(input.a[0], warp.index % kWarpgroupWarps * kProductRows, inShared ? kProductRows : 0, 2);
    product.b = decodeDescriptor(input.b[0], 0, kMajor ? columns : 16, kMajor ? 2 : columns / 8);
    product.readable = (!inShared || checkDescriptor(engine, warp, input.a[0], product.a)) && checkDescriptor(engine, warp, input.b[0], product.b);
    if (product.readable) checkOperand(engine, product, product.a);
    if (product.readable) checkOperand(engine, product, product.b);
    if (!inShared) {
        std::memcpy(product.fragments, input.fragments, sizeof product.fragments);
        for (uint32_t lane = 0; lane < kLanes; ++lane) std::memcpy(product.atIssue[lane], input.fragments[lane], sizeof product.atIssue[lane]);
    }
    product.accumulator = holdAccumulator(engine, warp, columns);
    Accumulator& accumulator = own.accumulators[product.accumulator];
    accumulator.batch = own.openBatch;
    accumulator.site = warp.site;
    if (engine.random.below(16) >= lateProducts(engine)) carryOut(engine, warp, index + 1, index);
}

template <class Element, uint32_t kColumns, Form kForm>
MOA_ENTRY void executeWgmma(Engine& engine, Warp& warp) {
    constexpr uint32_t element = std::is_same_v<Element, Half> ? 0 : 1;
    issueProduct(engine, warp, kColumns, element, kForm, multiply<Element, kColumns, kForm>);
}

MOA_ENTRY void executeWgmmaFence(Engine&, Warp& warp) {
    warp.products.comeTo(warp.site);
    warp.products.fenced = true;
}

MOA_ENTRY void executeWgmmaCommit(Engine&, Warp& warp) {
    warp.products.comeTo(warp.site);
    ++warp.products.openBatch;
    warp.products.fenced = false;
}

/// Until a wait covers a product with A in registers, those hold what they held at issue.
MOA_ENGINE void checkFragments(Engine& engine, const Warp& warp, const Product& product) {
    for (uint32_t lane = 0; product.a.rows == 0 && lane < kLanes; ++lane) {
        if (std::memcmp(product.fragments[lane], product.atIssue[lane], sizeof product.atIssue[lane]) == 0) continue;
        report(engine, "wgmma", product.site, warp.index * kLanes + lane,
               "the thread wrote to the registers of A, or they went out of scope, before the wait at %s:%u", warp.site.file_name(), warp.site.line());
        return;
    }
}

/// Covers all closed batches but the newest, and lands accumulators that have no product outside of these and are named.
MOA_ENTRY void executeWgmmaWait(Engine& engine, Warp& warp) {
    WarpProducts& own = warp.products;
    const auto& input = warp.input.wait;
    own.comeTo(warp.site);
    own.fenced = false;
    const uint32_t batches = own.openBatch > input.pending ? own.openBatch - input.pending : 0;
    uint32_t end = 0;
    while (end < own.products.size() && own.products[end].batch < batches) ++end;
    carryOut(engine, warp, end, end);
    for (uint32_t i = 0; i < end; ++i) checkFragments(engine, warp, own.products[i]);
    const uint32_t left = own.products.size() - end;
    for (uint32_t i = 0; end != 0 && i < left; ++i) own.products[i] = own.products[end + i];
    own.products.resize(left);
    own.done -= end;
    for (uint32_t i = 0; i < own.accumulators.size(); ++i) {
        Accumulator& accumulator = own.accumulators[i];
        if (accumulator.columns == 0 || accumulator.batch >= batches) continue;
        for (uint32_t j = 0; j < input.count; ++j) {
            const NamedArray& named = input.arrays[j];
            if (accumulator.arrays[0] < named.begin || accumulator.arrays[0] + accumulator.columns / 2 > named.end) continue;
            landAccumulator(engine, warp, accumulator);
            break;
        }
    }
}

/// The running lane waits for all but `pending` batches, and names `count` arrays.
MOA_ENTRY void waitForProducts(uint32_t pending, const NamedArray* arrays, uint32_t count, Site site) {
    Engine& self = engine();
    Lane& lane = *self.running;
    auto& input = lane.warp->input.wait;
    if (lane.lane == 0) input = {pending, count, arrays};
    arrive(self, kWgmmaWait, site);
}

}  // namespace moa::emulator
