// Tensor copies (PTX cp.async.bulk.tensor): bulk copies whose source is a box of a matrix. The matrix is known from a tensor map among the
// kernel's parameters, on this device a TensorMapImage.
#pragma once
#include <moa/emulator/bulkCopies.hpp>

namespace moa::emulator {

/// What the map says, after a finding null if it cannot be right.
MOA_ENTRY bool readTensorMap(Engine& engine, const char* what, const void* map, TensorMapImage& image, Site site) {
    std::memcpy(&image, map, sizeof image);
    const uintptr_t at = reinterpret_cast<uintptr_t>(map), params = reinterpret_cast<uintptr_t>(engine.params);
    const char* problem = nullptr;
    if (at < params || at - params >= engine.launch->paramsBytes)
        problem = "which does not lie in the kernel's parameters";
    else if (image.magic != kTensorMapMagic)
        problem = "which holds none";
    else if (image.address % kBulkGranule != 0 || image.rowBytes % kBulkGranule != 0 || image.rowBytes < image.columns * kElementBytes)
        problem = "of a matrix that does not lie as it must";
    else if (image.boxRows == 0 || image.boxRows > 256)
        problem = "with a box of 0 rows, or more than 256";
    if (problem == nullptr) return true;
    report(engine, "tensor-map", site, engine.running->thread, "%s with a tensor map %s", what, problem);
    return false;
}

/// What is read lies in one allocation, was not written by this launch, and is not read before a programmatic launch has waited.
MOA_ENGINE bool checkBoxSource(Engine& engine, const TensorBox& box, uint32_t boxRows, const Site& site) {
    const auto clamp = [](int64_t value, uint64_t end) {
        return value < 0 ? 0 : static_cast<uint64_t>(value) < end ? static_cast<uint64_t>(value) : end;
    };
    const uint64_t firstRow = clamp(box.row, box.rows), endRow = clamp(box.row + boxRows, box.rows);
    const uint64_t firstColumn = clamp(box.column, box.columns), endColumn = clamp(box.column + kBoxColumns, box.columns);
    if (firstRow == endRow || firstColumn == endColumn) return true;
    const uint64_t first = reinterpret_cast<uintptr_t>(box.matrix) + firstRow * box.rowBytes + firstColumn * kElementBytes;
    const uint64_t rowBytes = (endColumn - firstColumn) * kElementBytes, bytes = (endRow - 1 - firstRow) * box.rowBytes + rowBytes;
    const Allocation* const found = allocationBefore(*engine.launch, first);
    if (found == nullptr || first - found->begin >= found->bytes || found->bytes - (first - found->begin) < bytes) {
        report(engine, "out-of-bounds", site, engine.running->thread,
               "tensorCopy reads rows %llu to %llu of a matrix: %llu bytes at 0x%llx, not in one allocation",
               static_cast<unsigned long long>(firstRow), static_cast<unsigned long long>(endRow - 1), static_cast<unsigned long long>(bytes),
               static_cast<unsigned long long>(first));
        return false;
    }
    engine.running->warp->lastHit = found;
    const uint32_t findings = engine.launch->findingCount;
    for (uint64_t at = first; at < first + bytes && engine.launch->findingCount == findings; at += box.rowBytes) {
        noteGlobalRead(engine, "tensorCopy", reinterpret_cast<const void*>(at), static_cast<uint32_t>(rowBytes), site);
        checkNotWritten(engine, "tensorCopy", *found, at, rowBytes, site);
    }
    return true;
}

MOA_ENTRY void issueTensorCopy(Engine& engine, uint32_t to, const void* map, int row, int column, uint32_t barrierAddress, Site site) {
    TensorMapImage image;
    Mbarrier* const barrier = findMbarrier(engine, *engine.running->warp, "tensorCopy", barrierAddress, site);
    if (barrier == nullptr || !readTensorMap(engine, "tensorCopy", map, image, site)) return;
    BulkCopy copy{};
    copy.box = {reinterpret_cast<const std::byte*>(image.address), image.rows, image.columns, image.rowBytes, row, column};
    if (!checkBoxSource(engine, copy.box, image.boxRows, site)) return;
    constexpr uint32_t alignment = 1024;  // so that the swizzle is one of address bits
    startCopy(engine, "tensorCopy", copy, to, image.boxRows * kBoxRowBytes, alignment, *barrier, site);
}

}  // namespace moa::emulator
