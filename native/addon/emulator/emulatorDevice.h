// The emulated device: host memory, kernels as host functions, launches that are done when they return.
#pragma once
#include <cstddef>
#include <map>
#include <vector>

#include "addon/device.h"
#include "addon/emulator/guardedMemory.h"
#include "addon/emulator/kernelLibrary.h"

namespace moa::emulator {

struct EmulatorOptions {
    uint64_t seed = 0;
    uint32_t multiprocessors = 1;
    bool failOnBankConflict = false;
};

/// The error of findings: the first few in its message, those kept in its list.
Failure findingFailure(const std::string& what, uint64_t count, std::vector<FindingText> findings);

class EmulatorDevice final : public Device {
public:
    explicit EmulatorDevice(const EmulatorOptions& options);

    const DeviceProperties& properties() const override { return properties_; }
    std::unique_ptr<Memory> allocate(uint64_t bytes) override;
    void write(Memory& to, uint64_t offset, ConstBytes data) override;
    void read(const Memory& from, uint64_t offset, Bytes into) override;
    void fill(Memory& memory, uint64_t offset, uint64_t bytes, uint8_t value) override;
    void copy(Memory& to, uint64_t toOffset, const Memory& from, uint64_t fromOffset, uint64_t bytes) override;
    TensorMap tensorMap(const Matrix& matrix) override;
    std::shared_ptr<Module> loadModule(ConstBytes image) override;
    std::shared_ptr<Module> loadLibrary(const std::string& path) override;
    int occupancy(Kernel& kernel, uint32_t threads, uint32_t sharedBytes) override;
    /// Throws `MOA_EMULATOR_FINDING` after the whole grid has run and its counts were added.
    void launch(Kernel& kernel, const LaunchShape& shape, ConstBytes params) override;
    void synchronize() override {}
    void launchGraph(Graph& graph) override;
    std::unique_ptr<Event> recordEvent() override;
    double elapsedMilliseconds(Event& from, Event& to) override;
    const Counters& counters() const override { return counters_; }
    void resetCounters() override { counters_ = {}; }
    /// Launches are counted from 0 again, so the runs after two equal calls are the same.
    void setSeed(uint64_t seed) override;

    /// For a buffer that is freed.
    void forget(const GuardedMemory& memory);

    /// Parameter structs with tensor maps are 64-byte aligned.
    struct alignas(64) ParamsBlock {
        uint8_t bytes[64];
    };
    /// A launch as a graph keeps it.
    struct Recorded {
        std::string name;
        EntryPoint entry = nullptr;
        std::shared_ptr<Module> library;
        LaunchShape shape;
        std::vector<ParamsBlock> params;
        uint64_t paramsBytes = 0;
    };

protected:
    void startCapture() override { recording_.clear(); }
    std::unique_ptr<Graph> finishCapture() override;
    void dropCapture() noexcept override { recording_.clear(); }

private:
    void run(const Recorded& launch, bool programmatic);
    const std::vector<Allocation>& allocationTable();

    EmulatorOptions options_;
    DeviceProperties properties_;
    Counters counters_ = {};
    uint64_t launches_ = 0;
    uint32_t launchNumber_ = 0;  // unlike `launches_` never set back
    uint64_t allocatedBytes_ = 0;
    uint64_t nextNumber_ = 1;
    std::map<uint64_t, GuardedMemory*> live_;  // by address
    std::vector<Allocation> table_;
    bool tableCurrent_ = true;
    std::vector<Recorded> recording_;
};

}  // namespace moa::emulator
