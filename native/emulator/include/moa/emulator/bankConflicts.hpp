// Shared-memory wavefronts. There are 32 banks of 4 bytes; one wavefront serves one word of every bank, to any number of lanes. A warp's
// access of 4 bytes a lane is served as one phase, of 8 bytes as two (half-warps), of 16 bytes as four (quarter-warps). What a phase
// needs beyond one wavefront is a conflict.
//
// Lanes run one after another, so a plain access is logged, and at the warp's next operation the k-th access of each lane at one site
// counts as one instruction.
#pragma once
#include <moa/emulator/findings.hpp>

namespace moa::emulator {

/// Wavefronts beyond the first that `count` accesses of one phase need. `words` is 1 to 4.
MOA_ENGINE uint32_t extraWavefronts(const uint32_t* addresses, uint32_t count, uint32_t words) {
    uint32_t distinct[kLanes];  // the distinct words, chained by bank
    int8_t next[kLanes], head[kLanes];
    uint8_t ways[kLanes] = {};
    std::memset(head, -1, sizeof head);
    uint32_t used = 0, most = 1;
    for (uint32_t i = 0; i < count; ++i) {
        for (uint32_t j = 0; j < words; ++j) {
            const uint32_t word = addresses[i] / 4 + j, bank = word % 32;
            int known = head[bank];
            while (known >= 0 && distinct[known] != word) known = next[known];
            if (known >= 0) continue;
            distinct[used] = word;
            next[used] = head[bank];
            head[bank] = static_cast<int8_t>(used++);
            if (++ways[bank] > most) most = ways[bank];
        }
    }
    return most - 1;
}

MOA_ENGINE_COLD void addConflicts(Engine& engine, const Site& site, uint32_t thread, uint32_t extra, uint32_t bytes) {
    engine.counters.bankConflicts += extra;
    if (engine.launch->failOnBankConflict == 0 || !firstReport(engine.reportedSites[0], site)) return;
    report(engine, "bank-conflict", site, thread,
           "an access of %u bytes a lane needs %u more shared-memory wavefronts than the fewest possible; reported once a line", bytes,
           extra);
}

/// One instruction: the lanes in `active` access `bytes` each.
MOA_ENGINE void countInstruction(Engine& engine, const Warp& warp, const Site& site, const uint32_t (&addresses)[kLanes],
                             uint32_t active, uint32_t bytes) {
    const uint32_t words = bytes <= 4 ? 1 : bytes / 4, lanesPerPhase = kLanes / words;
    uint32_t extra = 0;
    for (uint32_t first = 0; first < kLanes; first += lanesPerPhase) {
        uint32_t phase[kLanes], count = 0;
        for (uint32_t lane = first; lane < first + lanesPerPhase; ++lane)
            if (active >> lane & 1) phase[count++] = addresses[lane];
        if (count > 1) extra += extraWavefronts(phase, count, words);
    }
    if (extra != 0)
        addConflicts(engine, site, warp.index * kLanes + static_cast<uint32_t>(__builtin_ctz(active)), extra, bytes);
}

MOA_PRIMITIVE void logAccess(Lane& lane, uint32_t address, uint32_t bytes, const Site& site) {
    lane.accesses.push({site, address, static_cast<uint16_t>(bytes), false});
    ++lane.warp->accesses;
}

/// Groups what the warp's lanes logged into instructions.
MOA_ENGINE_CALL void countAccesses(Engine& engine, Warp& warp) {
    uint32_t open[kLanes] = {};  // all accesses of the lane before this one are counted
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
        for (uint32_t i = open[lane]; i < warp.lanes[lane].accesses.size(); ++i) {
            const SharedAccess access = warp.lanes[lane].accesses[i];
            if (access.counted) continue;
            uint32_t addresses[kLanes], active = 0;
            for (uint32_t other = lane; other < kLanes; ++other) {
                List<SharedAccess>& list = warp.lanes[other].accesses;
                while (open[other] < list.size() && list[open[other]].counted) ++open[other];
                for (uint32_t j = open[other]; j < list.size(); ++j) {
                    SharedAccess& candidate = list[j];
                    if (candidate.counted || candidate.bytes != access.bytes || !sameSite(candidate.site, access.site)) continue;
                    candidate.counted = true;
                    addresses[other] = candidate.address;
                    active |= 1u << other;
                    break;
                }
            }
            countInstruction(engine, warp, access.site, addresses, active, access.bytes);
        }
    }
    for (uint32_t lane = 0; lane < kLanes; ++lane) warp.lanes[lane].accesses.clear();
    warp.accesses = 0;
}

}  // namespace moa::emulator
