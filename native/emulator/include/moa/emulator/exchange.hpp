// Operations that move 4 bytes between lanes.
#pragma once
#include <moa/emulator/schedule.hpp>

namespace moa::emulator {

MOA_ENTRY void executeShuffle(Engine&, Warp& warp) {
    const auto& input = warp.input.exchange;
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.output.value[lane] = input.value[input.from[lane] % kLanes];
}

/// Every lane gets the votes of all, a bit for each.
MOA_ENTRY void executeVote(Engine&, Warp& warp) {
    uint32_t votes = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) votes |= (warp.input.exchange.value[lane] != 0 ? 1u : 0u) << lane;
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.output.value[lane] = votes;
}

/// Lane (g, t) brings elements (g, 2t), (g, 2t + 1) of an 8x8 matrix and takes (2t, g), (2t + 1, g).
MOA_ENTRY void executeTranspose(Engine&, Warp& warp) {
    const auto element = [&warp](uint32_t row, uint32_t column) { return warp.input.exchange.value[row * 4 + column / 2] >> (column % 2 * 16) & 0xffffu; };
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.output.value[lane] = element(lane % 4 * 2, lane / 4) | element(lane % 4 * 2 + 1, lane / 4) << 16;
}

MOA_ENTRY void executeNothing(Engine&, Warp&) {}

/// The value that lane `from` brings.
MOA_ENTRY uint32_t exchange(const Operation& operation, uint32_t value, uint32_t from, Site site) {
    Engine& self = engine();
    Lane& lane = *self.running;
    auto& input = lane.warp->input.exchange;
    input.value[lane.lane] = value;
    input.from[lane.lane] = from;
    arrive(self, operation, site);
    return lane.warp->output.value[lane.lane];
}

}  // namespace moa::emulator
