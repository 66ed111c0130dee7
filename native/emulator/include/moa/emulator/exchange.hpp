// Operations that move 4 bytes between lanes.
#pragma once
#include <moa/emulator/schedule.hpp>

namespace moa::emulator {

MOA_ENGINE void executeShuffle(Engine&, Warp& warp) {
    const auto& input = warp.input.exchange;
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.output.value[lane] = input.value[input.from[lane] % kLanes];
}
static constexpr Operation kShuffle{"shuffle", executeShuffle};

/// Every lane gets the votes of all, a bit for each.
MOA_ENGINE void executeVote(Engine&, Warp& warp) {
    uint32_t votes = 0;
    for (uint32_t lane = 0; lane < kLanes; ++lane) votes |= (warp.input.exchange.value[lane] != 0 ? 1u : 0u) << lane;
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.output.value[lane] = votes;
}
static constexpr Operation kVote{"a vote", executeVote};

MOA_ENGINE void executeNothing(Engine&, Warp&) {}
static constexpr Operation kWarpBarrier{"warpBarrier", executeNothing};

/// The value that lane `from` brings.
MOA_PRIMITIVE uint32_t exchange(const Operation& operation, uint32_t value, uint32_t from, const Site& site) {
    Engine& self = engine();
    Lane& lane = *self.running;
    auto& input = lane.warp->input.exchange;
    input.value[lane.lane] = value;
    input.from[lane.lane] = from;
    arrive(self, operation, site);
    return lane.warp->output.value[lane.lane];
}

}  // namespace moa::emulator
