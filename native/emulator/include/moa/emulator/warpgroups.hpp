// What is asked of a warpgroup, four warps that begin at a multiple of four, when they end: products that all of them issued and waited for,
// and one number of registers.
#pragma once
#include <moa/emulator/findings.hpp>

namespace moa::emulator {

/// PTX setmaxnreg: a thread has as many registers as the kernel was given, until it gives up some or takes more.
inline constexpr uint32_t kBlockRegisters = 65536;

MOA_ENGINE uint32_t registersAtStart(const Engine& engine) {
    const uint32_t fair = kBlockRegisters / (engine.warpCount * kLanes) / 8 * 8;
    return fair > 255 ? 255 : fair;
}

template <bool kRaise>
MOA_ENTRY void executeSetRegisters(Engine& engine, Warp& warp) {
    const uint32_t count = warp.input.exchange.value[0], old = warp.registers == 0 ? registersAtStart(engine) : warp.registers;
    if (kRaise ? count < old : count > old)
        report(engine, "registers", warp.site, warp.index * kLanes, "%s to %u, and its threads have %u", warp.operation->name, count, old);
    warp.registers = count;
    warp.registersSite = warp.site;
}

/// All warps of the block end with registers that it has, those of a warpgroup with as many each.
MOA_ENGINE void checkRegisters(Engine& engine) {
    const Warp* last = nullptr;  // that changed them
    uint32_t sum = 0;
    for (uint32_t i = 0; i < engine.warpCount; ++i) {
        const Warp& warp = engine.warps[i];
        if (warp.registers != 0) last = &warp;
        sum += kLanes * (warp.registers == 0 ? registersAtStart(engine) : warp.registers);
    }
    if (last == nullptr) return;
    for (uint32_t first = 0; first < engine.warpCount; first += kWarpgroupWarps) {
        const Warp* other = nullptr;
        for (uint32_t i = first; i < first + kWarpgroupWarps && other == nullptr; ++i)
            if (i >= engine.warpCount ? engine.warps[first].registers != 0 : engine.warps[i].registers != engine.warps[first].registers)
                other = &engine.warps[i < engine.warpCount ? i : first];
        if (other == nullptr) continue;
        const Warp& told = other->registers != 0 ? *other : engine.warps[first];
        report(engine, "registers", told.registersSite, told.index * kLanes,
               "the four warps from warp %u on do not end with the same number of registers: warp %u has called for %u, warp %u for %u (0: never)",
               first, first, engine.warps[first].registers, other->index, other->registers);
    }
    if (sum > kBlockRegisters)
        report(engine, "registers", last->registersSite, last->index * kLanes, "the block's threads end with %u registers; it has %u", sum,
               kBlockRegisters);
}

/// The four warps of a warpgroup issued the same products, in the same order, and came to the same fences, commits and waits.
MOA_ENGINE void checkSameProducts(Engine& engine) {
    for (uint32_t first = 0; first < engine.warpCount; first += kWarpgroupWarps) {
        const WarpProducts& expected = engine.warps[first].products;
        for (uint32_t i = first; i < first + kWarpgroupWarps; ++i) {
            const bool exists = i < engine.warpCount;
            const uint32_t issued = exists ? engine.warps[i].products.issued : 0;
            const bool sameProducts = issued == expected.issued && (!exists || engine.warps[i].products.hash == expected.hash);
            if (sameProducts && (!exists || engine.warps[i].products.places == expected.places)) continue;
            if (sameProducts) {
                report(engine, "warpgroup", engine.warps[i].products.place, i * kLanes,
                       "warps %u and %u of one warpgroup fenced, committed or waited at different lines; the last wait is here", first, i);
                break;
            }
            const uint32_t told = issued != 0 ? i : first;
            report(engine, "warpgroup", engine.warps[told].products.site, told * kLanes,
                   "warps %u and %u of one warpgroup issued different products, %u and %u; the last one is here", first, i, expected.issued, issued);
            break;
        }
    }
}

/// A warp that exits has waited for its products, by waits that named their accumulators.
MOA_ENGINE void checkNoPendingProduct(Engine& engine, Warp& warp) {
    for (uint32_t i = 0; i < warp.products.accumulators.size(); ++i) {
        const Accumulator& accumulator = warp.products.accumulators[i];
        if (accumulator.columns == 0 || !firstReport(engine.reportedSites[1], accumulator.site)) continue;
        const bool covered = warp.products.products.size() == 0 || warp.products.products[0].batch > accumulator.batch;
        report(engine, "pending-wgmma", accumulator.site, warp.index * kLanes,
               "the warp ends, and %s; reported once a line",
               covered ? "no wait from the one that covers this product on named its accumulator"
               : accumulator.batch == warp.products.openBatch ? "it never committed this product" : "it never waited for this product");
    }
}

}  // namespace moa::emulator
