// Findings: what a kernel did wrong, with the line that did it.
#pragma once
#include <cstdarg>
#include <cstdio>

#include <moa/emulator/interface.hpp>

namespace moa::emulator {

/// Leaves the launch: control goes back to the scheduler and no lane runs again. Kernels own nothing that needs a destructor.
[[noreturn]] MOA_ENGINE_COLD void abortLaunch(Engine& engine) {
    engine.aborted = true;
    switchFiber(engine.running->fiber, engine.scheduler);
    __builtin_unreachable();
}

/// Adds a finding about `thread` of the running block. The launch goes on while there is room for findings, and ends when there is none.
MOA_ENTRY void report(Engine& engine, const char* kind, Site site, uint32_t thread, const char* format, ...) {
    Launch& launch = *engine.launch;
    const uint32_t index = launch.findingCount++;
    if (index >= launch.findingCapacity || launch.findings == nullptr) abortLaunch(engine);
    Finding& finding = launch.findings[index];
    std::snprintf(finding.kind, sizeof finding.kind, "%s", kind);
    const int head = std::snprintf(finding.message, sizeof finding.message, "%s:%u: block %u thread %u (warp %u lane %u): ",
                                   site.file_name(), site.line(), engine.block, thread, thread / kLanes, thread % kLanes);
    const size_t used = head < 0 ? 0 : static_cast<size_t>(head);
    if (used >= sizeof finding.message) return;
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(finding.message + used, sizeof finding.message - used, format, arguments);
    va_end(arguments);
}

/// True the first time it is asked about this site in a launch.
MOA_ENGINE_COLD bool firstReport(List<Site>& sites, const Site& site) {
    for (uint32_t i = 0; i < sites.size(); ++i)
        if (sameSite(sites[i], site)) return false;
    sites.push(site);
    return true;
}

}  // namespace moa::emulator
