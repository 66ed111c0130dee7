// One GPU: its primary context, one stream, and what runs on it. All work of a device goes through its stream in order.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "addon/cuda/driver.h"
#include "addon/device.h"

namespace moa::cuda {

class CudaDevice final : public Device {
public:
    CudaDevice(std::shared_ptr<const Driver> driver, int ordinal);
    ~CudaDevice() override;

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
    void launch(Kernel& kernel, const LaunchShape& shape, ConstBytes params) override;
    void synchronize() override;
    void launchGraph(Graph& graph) override;
    std::unique_ptr<Event> recordEvent() override;
    double elapsedMilliseconds(Event& from, Event& to) override;
    const emulator::Counters& counters() const override;
    void resetCounters() override;
    void setSeed(uint64_t seed) override;

    // ---- for the objects of this device ----

    /// Opens a call: fails at once on a lost device, else the device's context is current as long as this lives. What was current
    /// before comes back after, so that other users of CUDA in the process are not disturbed.
    class Current {
    public:
        explicit Current(CudaDevice& device) : driver_(*device.driver_) {
            if (device.lost_) throw *device.lost_;
            device.check(driver_.cuCtxPushCurrent(device.context_), "cuCtxPushCurrent");
        }
        ~Current() {
            CUcontext popped;
            driver_.cuCtxPopCurrent(&popped);
        }
        Current(const Current&) = delete;
        Current& operator=(const Current&) = delete;

    private:
        const Driver& driver_;
    };

    /// Throws for anything but success; a sticky error marks the device lost.
    void check(CUresult result, const char* call, const std::string& details = "");
    bool lost() const { return lost_.has_value(); }
    const Driver& driver() const { return *driver_; }
    CUstream stream() const { return stream_; }
    /// What frees an object of the device: waits for the work that may use it, then frees. Silent on a lost device, which has
    /// nothing left to free.
    template <typename Free>
    void releaseAfterWork(Free free) {
        if (lost()) return;
        const Current current(*this);
        const CUresult waited = driver_->cuStreamSynchronize(stream_);
        free();
        check(waited, "cuStreamSynchronize");
    }

protected:
    void startCapture() override;
    std::unique_ptr<Graph> finishCapture() override;
    void dropCapture() noexcept override;

private:
    /// Bytes on their way to the device, and the event behind their copy.
    struct StagedWrite {
        std::vector<uint8_t> bytes;
        CUevent passed;
    };
    static constexpr size_t kMostStagedBytes = 64 * 1024;
    static constexpr size_t kMostStaged = 256;  ///< under way at once

    void readProperties();
    /// A copy of `data` that stays until the stream has passed the event; waits where too many are under way.
    StagedWrite& stage(ConstBytes data);
    /// Whether a launch may begin before the one before it has ended. Where not, a programmatic launch is a plain one.
    bool canOverlap() const;
    CUresult launchProgrammatic(CUfunction function, const LaunchShape& shape, void** params);

    std::shared_ptr<const Driver> driver_;
    CUdevice device_ = 0;
    CUcontext context_ = nullptr;
    CUstream stream_ = nullptr;
    DeviceProperties properties_;
    std::optional<Failure> lost_;
    std::deque<StagedWrite> staged_;  ///< the oldest first
    /// Modules whose kernels the capture in progress has recorded.
    std::vector<std::shared_ptr<Module>> captured_;
};

}  // namespace moa::cuda
