// What a backend must offer. `cuda/` and `emulator/` implement it; `node/addon.cpp` names the objects by handle.
//
// Ownership: the addon keeps a device alive longer than every object made by it, so objects may hold a plain reference to it.
// Arguments are checked before they come here: offsets lie inside the memory, and memory and kernels belong to this device.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "addon/failure.h"
#include "emulator/abi.h"

namespace moa {

using Bytes = std::span<uint8_t>;
using ConstBytes = std::span<const uint8_t>;

struct DeviceProperties {
    std::string name;
    int computeMajor = 0;
    int computeMinor = 0;
    int multiprocessors = 0;
    uint64_t memoryBytes = 0;
    uint64_t l2Bytes = 0;
    uint64_t sharedBytesPerBlock = 0;
};

/// A row-major matrix of 2-byte elements in device memory, which kernels copy in boxes of `boxRows` x `kBoxColumns`.
struct Matrix {
    uint64_t address = 0;
    uint64_t rows = 0;
    uint64_t columns = 0;
    uint32_t boxRows = 0;
    uint64_t rowBytes() const { return columns * 2; }
    uint64_t bytes() const { return rows * rowBytes(); }
};
/// 128 bytes: the widest row of a box that the 128-byte swizzle takes.
inline constexpr uint32_t kBoxColumns = 64;
/// A parameter of kernels: what `CUtensorMap` is on a GPU.
using TensorMap = std::array<uint8_t, 128>;

struct KernelAttributes {
    int registers = 0;
    int localBytes = 0;
    int staticSharedBytes = 0;
    int maxThreads = 0;
};

struct LaunchShape {
    uint32_t grid = 0;
    uint32_t threads = 0;
    uint32_t sharedBytes = 0;
    /// May begin before the launch before it has ended; the kernel itself waits (PTX griddepcontrol.wait).
    bool programmatic = false;
};

/// An object of a device. `release` frees it and may throw what the device then says (it is freed all the same); a second call
/// does nothing. Every final class also releases in its destructor, where errors have nobody to go to.
class Resource {
public:
    Resource() = default;
    Resource(const Resource&) = delete;
    Resource& operator=(const Resource&) = delete;
    virtual ~Resource() = default;
    virtual void release() = 0;
};

class Memory : public Resource {
public:
    uint64_t address = 0;
    uint64_t bytes = 0;
};
class Kernel;
class Module : public Resource {
public:
    /// `self` is this module: kernels share ownership, so that a graph outlives `unloadModule`.
    virtual std::unique_ptr<Kernel> kernel(std::shared_ptr<Module> self, const std::string& name) = 0;
};
class Kernel : public Resource {
public:
    void release() override {}
    std::string name;
    std::shared_ptr<Module> module;
    KernelAttributes attributes;
};
class Graph : public Resource {};
class Event : public Resource {};

class Device {
public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    virtual const DeviceProperties& properties() const = 0;
    virtual std::unique_ptr<Memory> allocate(uint64_t bytes) = 0;
    virtual void write(Memory& to, uint64_t offset, ConstBytes data) = 0;
    virtual void read(const Memory& from, uint64_t offset, Bytes into) = 0;
    virtual void fill(Memory& memory, uint64_t offset, uint64_t bytes, uint8_t value) = 0;
    virtual void copy(Memory& to, uint64_t toOffset, const Memory& from, uint64_t fromOffset, uint64_t bytes) = 0;
    /// No work of the device, so allowed in a capture.
    virtual TensorMap tensorMap(const Matrix& matrix) = 0;

    virtual std::shared_ptr<Module> loadModule(ConstBytes image) = 0;
    virtual std::shared_ptr<Module> loadLibrary(const std::string& path) = 0;
    virtual int occupancy(Kernel& kernel, uint32_t threads, uint32_t sharedBytes) = 0;
    virtual void launch(Kernel& kernel, const LaunchShape& shape, ConstBytes params) = 0;
    virtual void synchronize() = 0;

    virtual void launchGraph(Graph& graph) = 0;
    virtual std::unique_ptr<Event> recordEvent() = 0;
    virtual double elapsedMilliseconds(Event& from, Event& to) = 0;

    virtual const emulator::Counters& counters() const = 0;
    virtual void resetCounters() = 0;
    virtual void setSeed(uint64_t seed) = 0;

    /// Between `beginCapture` and `endCapture` launches are recorded. What would have to wait for the device is refused meanwhile:
    /// the driver would drop the whole capture, with an error that does not say which call was at fault.
    void beginCapture() {
        refuseWhileCapturing("beginCapture");
        startCapture();
        capturing_ = true;
    }
    std::unique_ptr<Graph> endCapture() {
        if (!capturing_) throw Failure("MOA_CAPTURE", "endCapture: no capture was begun on this device");
        capturing_ = false;
        return finishCapture();
    }
    void abortCapture() noexcept {
        if (!capturing_) return;
        capturing_ = false;
        dropCapture();
    }
    void refuseWhileCapturing(const char* call) const {
        if (!capturing_) return;
        throw Failure("MOA_CAPTURE", std::string(call) +
                                         ": the device is capturing a graph; only launches and allocations are allowed "
                                         "until the capture ends");
    }
    bool capturing() const { return capturing_; }

protected:
    virtual void startCapture() = 0;
    virtual std::unique_ptr<Graph> finishCapture() = 0;
    virtual void dropCapture() noexcept = 0;

private:
    bool capturing_ = false;
};

}  // namespace moa
