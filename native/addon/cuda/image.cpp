#include "addon/cuda/image.h"

#include <cstring>

namespace moa::cuda {
namespace {

template <typename T>
T load(ConstBytes image, uint64_t offset) {
    T value;
    std::memcpy(&value, image.data() + offset, sizeof(T));
    return value;
}

bool fits(ConstBytes image, uint64_t offset, uint64_t bytes) { return offset <= image.size() && bytes <= image.size() - offset; }

std::string cutOff(ConstBytes image) {
    return "it is cut off: it has " + std::to_string(image.size()) + " bytes, but its headers name more";
}

// Offsets in a 64-bit ELF file header and section header, from the System V ABI.
constexpr uint64_t kElfHeaderBytes = 64, kProgramOffset = 32, kSectionOffset = 40, kProgramSize = 54, kProgramCount = 56,
                   kSectionSize = 58, kSectionCount = 60, kSectionHeaderBytes = 64;
constexpr uint32_t kNoBits = 8;  // SHT_NOBITS: a section without content in the file

std::string elfProblem(ConstBytes image) {
    if (!fits(image, 0, kElfHeaderBytes)) return cutOff(image);
    if (image[4] != 2) return "it is a 32-bit ELF file";
    const auto sections = load<uint64_t>(image, kSectionOffset), programs = load<uint64_t>(image, kProgramOffset);
    const auto sectionSize = load<uint16_t>(image, kSectionSize), sectionCount = load<uint16_t>(image, kSectionCount);
    const auto programSize = load<uint16_t>(image, kProgramSize), programCount = load<uint16_t>(image, kProgramCount);
    if (!fits(image, programs, uint64_t{programSize} * programCount) ||
        !fits(image, sections, uint64_t{sectionSize} * sectionCount))
        return cutOff(image);
    if (sectionCount != 0 && sectionSize < kSectionHeaderBytes) return "its section headers are damaged";
    for (uint64_t i = 0; i < sectionCount; i += 1) {
        const uint64_t header = sections + i * sectionSize;
        if (load<uint32_t>(image, header + 4) == kNoBits) continue;
        if (!fits(image, load<uint64_t>(image, header + 24), load<uint64_t>(image, header + 32))) return cutOff(image);
    }
    return "";
}

}  // namespace

std::string imageProblem(ConstBytes image) {
    constexpr uint32_t elfMagic = 0x464C457F, fatbinMagic = 0xBA55ED50;
    if (image.size() < 16) return "it has only " + std::to_string(image.size()) + " bytes";
    const auto magic = load<uint32_t>(image, 0);
    if (magic == elfMagic) return elfProblem(image);
    // A fatbin header: magic, version, its own size, then the size of what follows.
    if (magic == fatbinMagic) return fits(image, load<uint16_t>(image, 6), load<uint64_t>(image, 8)) ? "" : cutOff(image);
    return "it begins with neither a cubin's nor a fatbin's magic number";
}

}  // namespace moa::cuda
