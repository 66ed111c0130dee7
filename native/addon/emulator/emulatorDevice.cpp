#include "addon/emulator/emulatorDevice.h"

#include <chrono>
#include <cstring>
#include <exception>

namespace moa::emulator {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{8} << 30;
constexpr uint64_t kSharedBytes = 227 * 1024;
constexpr uint64_t kL2Bytes = uint64_t{50} << 20;  // nominal: nothing emulates a cache
constexpr uint32_t kKeptFindings = 64;
constexpr size_t kShownFindings = 5;

class EmulatedGraph final : public Graph {
public:
    explicit EmulatedGraph(std::vector<EmulatorDevice::Recorded> recorded) : launches(std::move(recorded)) {}
    void release() override { launches.clear(); }
    std::vector<EmulatorDevice::Recorded> launches;
};

class EmulatedEvent final : public Event {
public:
    void release() override {}
    const std::chrono::steady_clock::time_point at = std::chrono::steady_clock::now();
};

/// The finaliser of SplitMix64: seeds that differ in one bit give unrelated results.
uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

template <size_t N>
std::string boundedText(const char (&text)[N]) {
    return {text, strnlen(text, N)};
}

const char* refusal(int32_t status) {
    switch (status) {
        case kWrongAbi:
            return "the library was built for another version of the emulator; compile the package again";
        case kWrongParamsBytes:
            return "the kernel's parameter struct has another size; the library and the runtime are of different builds";
        case kBadShape:
            return "the grid or block shape is one the kernel was not compiled for";
        case kAborted:
            return "the emulator gave up on the launch";
        default:
            return "the kernel library returned an unknown status";
    }
}

}  // namespace

Failure findingFailure(const std::string& what, uint64_t count, std::vector<FindingText> findings) {
    std::string message = what + ":";
    for (size_t i = 0; i < findings.size() && i < kShownFindings; i += 1)
        message += "\n  " + findings[i].kind + ": " + findings[i].message;
    if (count > kShownFindings) message += "\n  and " + std::to_string(count - kShownFindings) + " more";
    return Failure("MOA_EMULATOR_FINDING", message, std::move(findings));
}

EmulatorDevice::EmulatorDevice(const EmulatorOptions& options) : options_(options) {
    properties_.name = "emulator";
    properties_.multiprocessors = static_cast<int>(options.multiprocessors);
    properties_.memoryBytes = kMemoryBytes;
    properties_.l2Bytes = kL2Bytes;
    properties_.sharedBytesPerBlock = kSharedBytes;
}

std::unique_ptr<Memory> EmulatorDevice::allocate(uint64_t bytes) {
    if (bytes > kMemoryBytes - allocatedBytes_)
        throw Failure("MOA_OUT_OF_MEMORY", std::to_string(bytes) + " bytes were asked for, " +
                                               std::to_string(kMemoryBytes - allocatedBytes_) + " of the emulator's " +
                                               std::to_string(kMemoryBytes) + " are free");
    auto memory = std::make_unique<GuardedMemory>(*this, nextNumber_, bytes);
    live_.emplace(memory->address, memory.get());
    nextNumber_ += 1;
    allocatedBytes_ += bytes;
    tableCurrent_ = false;
    return memory;
}

void EmulatorDevice::forget(const GuardedMemory& memory) {
    if (live_.erase(memory.address) == 0) return;
    allocatedBytes_ -= memory.bytes;
    tableCurrent_ = false;
}

void EmulatorDevice::write(Memory& to, uint64_t offset, ConstBytes data) {
    auto& memory = static_cast<GuardedMemory&>(to);
    memory.forgetWriter(offset, data.size());
    std::memcpy(memory.data() + offset, data.data(), data.size());
}

void EmulatorDevice::read(const Memory& from, uint64_t offset, Bytes into) {
    std::memcpy(into.data(), static_cast<const GuardedMemory&>(from).data() + offset, into.size());
}

void EmulatorDevice::fill(Memory& memory, uint64_t offset, uint64_t bytes, uint8_t value) {
    static_cast<GuardedMemory&>(memory).forgetWriter(offset, bytes);
    std::memset(static_cast<GuardedMemory&>(memory).data() + offset, value, bytes);
}

void EmulatorDevice::copy(Memory& to, uint64_t toOffset, const Memory& from, uint64_t fromOffset, uint64_t bytes) {
    static_cast<GuardedMemory&>(to).forgetWriter(toOffset, bytes);
    std::memmove(static_cast<GuardedMemory&>(to).data() + toOffset, static_cast<const GuardedMemory&>(from).data() + fromOffset,
                 bytes);
}

TensorMap EmulatorDevice::tensorMap(const Matrix& matrix) {
    const TensorMapImage image{kTensorMapMagic, matrix.address, matrix.rows, matrix.columns, matrix.rowBytes(), matrix.boxRows, 0};
    TensorMap map = {};
    static_assert(sizeof image <= sizeof map);
    std::memcpy(map.data(), &image, sizeof image);
    return map;
}

std::shared_ptr<Module> EmulatorDevice::loadModule(ConstBytes) {
    throw Failure("MOA_CUDA_ONLY", "loadModule: the emulator runs kernel libraries (loadLibrary), not cubins");
}
std::shared_ptr<Module> EmulatorDevice::loadLibrary(const std::string& path) { return std::make_shared<KernelLibrary>(path); }
int EmulatorDevice::occupancy(Kernel&, uint32_t, uint32_t) { return 1; }

void EmulatorDevice::launch(Kernel& base, const LaunchShape& shape, ConstBytes params) {
    auto& kernel = static_cast<EmulatedKernel&>(base);
    if (shape.sharedBytes > kSharedBytes)
        throw OutOfRange("kernel '" + kernel.name + "' asks for " + std::to_string(shape.sharedBytes) +
                         " bytes of shared memory; a block may have " + std::to_string(kSharedBytes));
    Recorded launch{kernel.name, kernel.entry, kernel.module, shape, {}, params.size()};
    launch.params.resize(params.size() / sizeof(ParamsBlock) + 1);
    if (!params.empty()) std::memcpy(launch.params.data(), params.data(), params.size());
    if (capturing()) {
        recording_.push_back(std::move(launch));
    } else {
        run(launch, shape.programmatic);
    }
}

void EmulatorDevice::run(const Recorded& recorded, bool programmatic) {
    const uint64_t number = launches_++;
    launchNumber_ += 1;
    Finding kept[kKeptFindings];
    std::memset(kept, 0, sizeof kept);
    const auto& table = allocationTable();
    Launch launch = {};
    launch.abiVersion = kAbiVersion;
    launch.gridSize = recorded.shape.grid;
    launch.blockThreads = recorded.shape.threads;
    launch.sharedBytes = recorded.shape.sharedBytes;
    launch.params = recorded.params.data();
    launch.paramsBytes = recorded.paramsBytes;
    launch.allocations = table.data();
    launch.allocationCount = table.size();
    launch.seed = mix(options_.seed + (number + 1) * 0x9E3779B97F4A7C15ull);
    launch.failOnBankConflict = options_.failOnBankConflict ? 1 : 0;
    launch.findingCapacity = kKeptFindings;
    launch.findings = kept;
    launch.programmatic = programmatic ? 1 : 0;
    launch.counters = &counters_;
    launch.number = launchNumber_;

    const std::string what =
        "kernel '" + recorded.name + "' (launch " + std::to_string(number) + " of seed " + std::to_string(options_.seed) + ")";
    int32_t status;
    try {
        status = recorded.entry(&launch);
    } catch (const std::exception& error) {
        throw Failure("MOA_EMULATOR_REFUSED", what + " threw a C++ exception: " + error.what());
    } catch (...) {
        throw Failure("MOA_EMULATOR_REFUSED", what + " threw a C++ exception");
    }

    std::vector<FindingText> findings;
    for (uint32_t i = 0; i < launch.findingCount && i < kKeptFindings; i += 1)
        findings.push_back({boundedText(kept[i].kind), boundedText(kept[i].message)});
    uint64_t count = launch.findingCount;
    for (const auto& [address, memory] : live_) {
        auto problem = memory->takeGuardProblem();
        if (!problem) continue;
        findings.push_back(std::move(*problem));
        count += 1;
    }
    // An aborted launch says why in its findings; the bare status is the last resort.
    if (count > 0)
        throw findingFailure(what + " has " + std::to_string(count) + (count == 1 ? " finding" : " findings"), count,
                             std::move(findings));
    if (status != kOk)
        throw Failure("MOA_EMULATOR_REFUSED",
                      what + " was refused: " + refusal(status) + " (status " + std::to_string(status) + ")");
}

const std::vector<Allocation>& EmulatorDevice::allocationTable() {
    if (!tableCurrent_) {
        table_.clear();
        for (const auto& [address, memory] : live_) table_.push_back({address, memory->bytes, memory->number(), memory->written()});
        tableCurrent_ = true;
    }
    return table_;
}

std::unique_ptr<Graph> EmulatorDevice::finishCapture() { return std::make_unique<EmulatedGraph>(std::exchange(recording_, {})); }

void EmulatorDevice::launchGraph(Graph& graph) {
    // A graph begins after all before it has ended.
    const std::vector<Recorded>& launches = static_cast<EmulatedGraph&>(graph).launches;
    for (size_t i = 0; i < launches.size(); i += 1) run(launches[i], launches[i].shape.programmatic && i > 0);
}

std::unique_ptr<Event> EmulatorDevice::recordEvent() { return std::make_unique<EmulatedEvent>(); }

double EmulatorDevice::elapsedMilliseconds(Event& from, Event& to) {
    return std::chrono::duration<double, std::milli>(static_cast<EmulatedEvent&>(to).at - static_cast<EmulatedEvent&>(from).at)
        .count();
}

void EmulatorDevice::setSeed(uint64_t seed) {
    options_.seed = seed;
    launches_ = 0;
}

}  // namespace moa::emulator
