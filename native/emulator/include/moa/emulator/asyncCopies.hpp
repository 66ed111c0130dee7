// Asynchronous copies (PTX cp.async), made as unkind as the model allows. The destination is NaN from the moment of issue; the bytes land
// when the issuing thread's wait covers their group. By seed some land early, at issue or at some operation of the warp in between, and
// the source is read at issue or at landing.
#pragma once
#include <moa/emulator/globalMemory.hpp>
#include <moa/emulator/sharedMemory.hpp>

namespace moa::emulator {

inline constexpr uint32_t kAsyncCopyBytes = 16;

MOA_ENGINE void landCopy(AsyncCopy& copy) {
    if (copy.landed) return;
    copy.landed = true;
    if (copy.from == nullptr)
        std::memset(copy.to, 0, kAsyncCopyBytes);
    else
        std::memcpy(copy.to, copy.readAtIssue ? copy.bytes : copy.from, kAsyncCopyBytes);
}

MOA_ENTRY void issueCopy(Engine& engine, uint32_t to, const void* from, bool valid, Site site) {
    Lane& lane = *engine.running;
    std::byte* const destination = resolveShared(engine, "cpAsync16 to shared memory", to, kAsyncCopyBytes, site);
    if (valid && !checkGlobal(engine, "cpAsync16 from global memory", from, kAsyncCopyBytes, site)) return;
    if (destination == nullptr) return;
    if (valid) noteGlobalRead(engine, "cpAsync16", from, kAsyncCopyBytes, site);
    if (engine.tracking) noteSharedStore(engine, "cpAsync16", to, kAsyncCopyBytes, site);
    logAccess(lane, to, kAsyncCopyBytes, site);
    if (valid) {
        ++engine.counters.asyncCopies;
        engine.counters.asyncCopyBytes += kAsyncCopyBytes;
    } else {
        ++engine.counters.zeroFills;
    }
    std::memset(destination, kPoison, kAsyncCopyBytes);

    const uint64_t draw = engine.random.next();
    AsyncCopy copy;
    copy.to = destination;
    copy.from = valid ? static_cast<const std::byte*>(from) : nullptr;
    copy.site = site;
    copy.group = lane.openGroup;
    copy.landed = false;
    copy.early = (draw & 15) < engine.earlyPerSixteen;
    copy.readAtIssue = (draw >> 4 & 1) != 0;
    if (copy.readAtIssue && valid) std::memcpy(copy.bytes, from, kAsyncCopyBytes);
    if (copy.early && (draw >> 5 & 1) != 0)
        landCopy(copy);
    else if (copy.early)
        ++lane.warp->earlyCopies;
    lane.copies.push(copy);
}

/// Lands the copies of the warp that the seed lets land before their wait.
MOA_ENGINE_CALL void landEarlyCopies(Warp& warp) {
    for (uint32_t i = 0; i < kLanes; ++i) {
        Lane& lane = warp.lanes[i];
        for (uint32_t j = lane.firstCopy; j < lane.copies.size(); ++j)
            if (lane.copies[j].early) landCopy(lane.copies[j]);
    }
    warp.earlyCopies = 0;
}

/// Lands all closed groups of the lane but the newest `pending`. Copies of no closed group stay.
MOA_ENTRY void waitForCopies(Engine& engine, uint32_t pending) {
    Lane& lane = *engine.running;
    const uint32_t landedGroups = lane.openGroup > pending ? lane.openGroup - pending : 0;
    const uint32_t first = lane.firstCopy;
    uint32_t end = first;
    while (end < lane.copies.size() && lane.copies[end].group < landedGroups) ++end;
    if (end == first) return;
    // Copies that a wait covers land in no defined order; it shows when two have the same destination.
    const bool backwards = (engine.random.next() & 1) != 0;
    for (uint32_t i = first; i < end; ++i) landCopy(lane.copies[backwards ? end - 1 - (i - first) : i]);
    lane.firstCopy = end;
    if (end == lane.copies.size()) {
        lane.copies.clear();
        lane.firstCopy = 0;
    }
}

/// A thread that exits must have waited for all it issued.
MOA_PRIMITIVE void checkNoPendingCopy(Engine& engine, Lane& lane) {
    if (lane.firstCopy == lane.copies.size()) return;
    const Site site = lane.copies[lane.firstCopy].site;
    if (firstReport(engine.reportedSites[1], site))
        report(engine, "pending-copy", site, lane.thread, "the thread ends with %u copies that it never waited for, this one first; "
               "reported once a line", lane.copies.size() - lane.firstCopy);
}

}  // namespace moa::emulator
