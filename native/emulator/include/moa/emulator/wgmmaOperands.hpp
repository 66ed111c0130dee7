// Operands of wgmma in shared memory: what a descriptor means, and whether what lies there may be read.
#pragma once
#include <moa/emulator/matrixUnit.hpp>

namespace moa::emulator {

inline constexpr uint32_t kChunkBytes = 16;
inline constexpr uint32_t kSwizzleRowBytes = 128;
inline constexpr uint32_t kSwizzleBytes = 1024;

/// Where the hardware looks for what the descriptor puts at `address`.
MOA_PRIMITIVE uint32_t swizzle128(uint32_t address) { return address ^ (address >> 3 & 0x70); }

MOA_PRIMITIVE uint32_t chunkOffset(const Engine& engine, const Operand& operand, uint32_t row, uint32_t chunk) {
    const uint32_t at = operand.firstRow + row;
    return swizzle128(operand.start + at / 8 * operand.strideBytes + at % 8 * kSwizzleRowBytes + chunk / 8 * operand.leadingBytes +
                      chunk % 8 * kChunkBytes) - engine.sharedBase;
}

MOA_PRIMITIVE Operand decodeDescriptor(uint64_t descriptor, uint32_t firstRow, uint32_t rows, uint32_t chunks) {
    constexpr uint32_t field = 0x3FFF;
    return {(static_cast<uint32_t>(descriptor) & field) << 4, (static_cast<uint32_t>(descriptor >> 16) & field) << 4,
            (static_cast<uint32_t>(descriptor >> 32) & field) << 4, firstRow, rows, chunks};
}

/// The descriptor is one of a tile in 128-byte swizzle that begins on 1024 bytes.
MOA_ENGINE_CALL bool checkDescriptor(Engine& engine, const Warp& warp, uint64_t descriptor, const Operand& operand) {
    const char* problem = nullptr;
    if (descriptor >> 62 != 1)
        problem = "its swizzle is not that of 128 bytes";
    else if ((descriptor >> 49 & 7) != 0)
        problem = "its base offset is not 0";
    else if ((descriptor & ~uint64_t{0xC00E3FFF3FFF3FFF}) != 0)
        problem = "bits that mean nothing are set";
    else if (operand.start % kSwizzleBytes >= kSwizzleRowBytes)
        problem = "its start is not in the first row of a swizzle, which begins on 1024 bytes";
    else if (operand.start % kSwizzleRowBytes + (operand.chunks < 8 ? operand.chunks : 8) * kChunkBytes > kSwizzleRowBytes)
        problem = "from its start on, a row of the swizzle has too few bytes";
    else if (operand.strideBytes % kSwizzleBytes != 0 || (operand.chunks > 8 && operand.leadingBytes % kSwizzleBytes != 0))
        problem = "its strides are not multiples of 1024 bytes";
    if (problem == nullptr) return true;
    report(engine, "wgmma", warp.site, warp.index * kLanes, "%s with descriptor 0x%llx: %s", warp.operation->name,
           static_cast<unsigned long long>(descriptor), problem);
    return false;
}

/// The operand lies in shared memory; nothing is in flight there, and no store that a proxy fence has yet to follow.
MOA_ENGINE_CALL void checkOperand(Engine& engine, Product& product, const Operand& operand) {
    const uint32_t thread = engine.running->warp->index * kLanes;
    uint32_t flags = 0, flagged = 0, unfenced = ~0u;
    for (uint32_t row = 0; row < operand.rows; ++row) {
        for (uint32_t chunk = 0; chunk < operand.chunks; ++chunk) {
            const uint32_t offset = chunkOffset(engine, operand, row, chunk);
            if (offset >= engine.sharedBytes || engine.sharedBytes - offset < kChunkBytes) [[unlikely]] {
                report(engine, "shared-out-of-bounds", product.site, thread, "%s reads row %u, chunk %u of an operand: byte %d of %u", product.name,
                       operand.firstRow + row, chunk, static_cast<int>(offset), engine.sharedBytes);
                product.readable = false;
                product.reported = true;
                return;
            }
            if (!engine.tracking) continue;
            uint32_t* const words = &engine.words[offset / 4];
            const uint32_t any = words[0] | words[1] | words[2] | words[3];
            if ((any & (kWordStored | kWordInFlight | kWordMbarrier)) == 0) [[likely]]
                continue;
            if (any & (kWordInFlight | kWordMbarrier)) {
                flags |= any;
                flagged = offset;
            }
            for (uint32_t i = 0; i < kChunkBytes / 4; ++i) {
                if ((words[i] & kWordStored) == 0) continue;
                if ((words[i] & ~(kWordInFlight | kWordMbarrier)) == storedBy(engine.lanes[words[i] & kWordThread]))
                    unfenced = offset + i * 4;
                else
                    words[i] &= kWordInFlight | kWordMbarrier;  // fenced for good
            }
        }
    }
    if (product.reported) return;
    product.reported = flags != 0 || unfenced != ~0u;
    if (flags != 0) rejectTracked(engine, product.name, engine.sharedBase + flagged, flags, product.site);
    if (unfenced != ~0u)
        report(engine, "proxy", product.site, thread, "%s reads byte %u of shared memory, where a thread stored and called no asyncProxyFence since",
               product.name, unfenced);
}

template <class Element>
MOA_ENGINE void fetchOperand(Engine& engine, const Operand& operand, float* floats) {
    for (uint32_t row = 0; row < operand.rows; ++row)
        for (uint32_t chunk = 0; chunk < operand.chunks; ++chunk, floats += 8)
            decode<Element>(engine.shared + chunkOffset(engine, operand, row, chunk), floats, 8);
}

}  // namespace moa::emulator
