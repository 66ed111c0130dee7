#include "addon/cuda/cudaDevice.h"

#include <array>
#include <bit>
#include <cstring>

#include "addon/cuda/cudaErrors.h"
#include "addon/cuda/cudaModule.h"

namespace moa::cuda {
namespace {

class CudaMemory final : public Memory {
public:
    explicit CudaMemory(CudaDevice& device) : device_(device) {}
    ~CudaMemory() override {
        try {
            release();
        } catch (...) {
        }
    }
    void release() override {
        const uint64_t pointer = std::exchange(address, 0);
        if (pointer != 0) device_.releaseAfterWork([&] { device_.driver().cuMemFree(pointer); });
    }

private:
    CudaDevice& device_;
};

class CudaGraph final : public Graph {
public:
    CudaGraph(CudaDevice& device, CUgraphExec executable, std::vector<std::shared_ptr<Module>> modules)
        : exec(executable), device_(device), modules_(std::move(modules)) {}
    ~CudaGraph() override {
        try {
            release();
        } catch (...) {
        }
    }
    void release() override {
        const CUgraphExec old = std::exchange(exec, nullptr);
        if (old) device_.releaseAfterWork([&] { device_.driver().cuGraphExecDestroy(old); });
        modules_.clear();
    }
    CUgraphExec exec;

private:
    CudaDevice& device_;
    /// Unloading a module takes the code away from under the graph's nodes.
    std::vector<std::shared_ptr<Module>> modules_;
};

class CudaEvent final : public Event {
public:
    CudaEvent(CudaDevice& device, CUevent recorded) : event(recorded), device_(device) {}
    ~CudaEvent() override {
        try {
            release();
        } catch (...) {
        }
    }
    void release() override {
        const CUevent old = std::exchange(event, nullptr);
        if (!old || device_.lost()) return;
        const CudaDevice::Current current(device_);
        device_.driver().cuEventDestroy(old);  // the driver keeps a pending event until it is reached
    }
    CUevent event;

private:
    CudaDevice& device_;
};

[[noreturn]] void emulatorOnly(const char* call) {
    throw Failure("MOA_EMULATOR_ONLY", std::string(call) + ": only the emulator has this; this device is a GPU");
}

}  // namespace

CudaDevice::CudaDevice(std::shared_ptr<const Driver> driver, int ordinal) : driver_(std::move(driver)) {
    if (ordinal >= driver_->deviceCount)
        throw Failure("CUDA_ERROR_INVALID_DEVICE", "there is no device cuda:" + std::to_string(ordinal) + ": this process sees " +
                                                       std::to_string(driver_->deviceCount) + " GPU(s), numbered from 0");
    check(driver_->cuDeviceGet(&device_, ordinal), "cuDeviceGet");
    readProperties();
    check(driver_->cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
    try {
        const Current current(*this);
        check(driver_->cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    } catch (...) {
        driver_->cuDevicePrimaryCtxRelease(device_);
        throw;
    }
}

CudaDevice::~CudaDevice() {
    captured_.clear();
    try {
        const Current current(*this);
        driver_->cuStreamSynchronize(stream_);
        for (const StagedWrite& staged : staged_) driver_->cuEventDestroy(staged.passed);
        driver_->cuStreamDestroy(stream_);
    } catch (...) {
        // A lost context takes its stream along.
    }
    driver_->cuDevicePrimaryCtxRelease(device_);
}

void CudaDevice::readProperties() {
    char name[256] = "";
    check(driver_->cuDeviceGetName(name, sizeof name, device_), "cuDeviceGetName");
    size_t memory = 0;
    check(driver_->cuDeviceTotalMem(&memory, device_), "cuDeviceTotalMem");
    const auto attribute = [&](int which) {
        int value = 0;
        check(driver_->cuDeviceGetAttribute(&value, which, device_), "cuDeviceGetAttribute");
        return value;
    };
    properties_.name = name;
    properties_.memoryBytes = memory;
    properties_.computeMajor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    properties_.computeMinor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    properties_.multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    properties_.l2Bytes = static_cast<uint64_t>(attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE));
    properties_.sharedBytesPerBlock = static_cast<uint64_t>(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
}

void CudaDevice::check(CUresult result, const char* call, const std::string& details) {
    if (result == CUDA_SUCCESS) return;
    const Failure failure(errorName(*driver_, result), errorText(*driver_, result, call, details));
    if (isSticky(result)) lost_.emplace(failure.code(), std::string("the device is lost since an earlier call: ") + failure.what());
    throw failure;
}

std::unique_ptr<Memory> CudaDevice::allocate(uint64_t bytes) {
    const Current current(*this);
    auto memory = std::make_unique<CudaMemory>(*this);
    CUdeviceptr pointer = 0;
    // An empty buffer still has an address of its own, and the driver refuses 0.
    const CUresult result = driver_->cuMemAlloc(&pointer, bytes == 0 ? 1 : bytes);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {
        size_t free = 0, total = 0;
        const bool known = driver_->cuMemGetInfo(&free, &total) == CUDA_SUCCESS;
        check(result, "cuMemAlloc",
              std::to_string(bytes) + " bytes were asked for" +
                  (known ? ", " + std::to_string(free) + " of " + std::to_string(total) + " are free" : ""));
    }
    check(result, "cuMemAlloc");
    memory->address = pointer;
    memory->bytes = bytes;
    return memory;
}

// JavaScript's memory is ours only during the call: it may be collected, detached or changed after. When the driver reads pageable memory of an
// asynchronous copy is not said (CUDA driver API, "API synchronization behavior"), so a small write is copied here first, and a large one waits.
void CudaDevice::write(Memory& to, uint64_t offset, ConstBytes data) {
    const Current current(*this);
    const bool isStaged = data.size() <= kMostStagedBytes;
    if (!isStaged) {
        check(driver_->cuMemcpyHtoDAsync(to.address + offset, data.data(), data.size(), stream_), "cuMemcpyHtoDAsync");
        check(driver_->cuStreamSynchronize(stream_), "cuStreamSynchronize");
        return;
    }
    StagedWrite& staged = stage(data);
    check(driver_->cuMemcpyHtoDAsync(to.address + offset, staged.bytes.data(), staged.bytes.size(), stream_), "cuMemcpyHtoDAsync");
    check(driver_->cuEventRecord(staged.passed, stream_), "cuEventRecord");
}

CudaDevice::StagedWrite& CudaDevice::stage(ConstBytes data) {
    const bool mayAdd = staged_.size() < kMostStaged;
    bool reuses = false;
    if (!staged_.empty()) {
        const CUresult passed = mayAdd ? driver_->cuEventQuery(staged_.front().passed) : driver_->cuEventSynchronize(staged_.front().passed);
        if (passed != CUDA_ERROR_NOT_READY) check(passed, mayAdd ? "cuEventQuery" : "cuEventSynchronize");
        reuses = passed == CUDA_SUCCESS;
    }
    if (reuses) {
        staged_.push_back(std::move(staged_.front()));
        staged_.pop_front();
    } else {
        CUevent passed = nullptr;
        check(driver_->cuEventCreate(&passed, CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        staged_.push_back(StagedWrite{{}, passed});
    }
    staged_.back().bytes.assign(data.begin(), data.end());
    return staged_.back();
}

// Into JavaScript's memory: it waits.
void CudaDevice::read(const Memory& from, uint64_t offset, Bytes into) {
    const Current current(*this);
    check(driver_->cuMemcpyDtoHAsync(into.data(), from.address + offset, into.size(), stream_), "cuMemcpyDtoHAsync");
    check(driver_->cuStreamSynchronize(stream_), "cuStreamSynchronize");
}

void CudaDevice::fill(Memory& memory, uint64_t offset, uint64_t bytes, uint8_t value) {
    const Current current(*this);
    check(driver_->cuMemsetD8Async(memory.address + offset, value, bytes, stream_), "cuMemsetD8Async");
}

void CudaDevice::copy(Memory& to, uint64_t toOffset, const Memory& from, uint64_t fromOffset, uint64_t bytes) {
    const Current current(*this);
    check(driver_->cuMemcpyDtoDAsync(to.address + toOffset, from.address + fromOffset, bytes, stream_), "cuMemcpyDtoDAsync");
}

TensorMap CudaDevice::tensorMap(const Matrix& matrix) {
    const Current current(*this);
    if (driver_->cuTensorMapEncodeTiled == nullptr)
        throw Failure("MOA_DRIVER_TOO_OLD",
                      "tensorMap: the NVIDIA driver has no cuTensorMapEncodeTiled; CUDA 12.0 or newer is needed: update the NVIDIA driver");
    const uint64_t dimensions[] = {matrix.columns, matrix.rows}, strides[] = {matrix.rowBytes()};
    const uint32_t box[] = {kBoxColumns, matrix.boxRows}, elementStrides[] = {1, 1};
    CUtensorMap encoded = {};
    // Elements are copied as they are, so their type is only a size. What lies outside of the matrix is zeros.
    check(driver_->cuTensorMapEncodeTiled(&encoded, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, reinterpret_cast<void*>(matrix.address), dimensions,
                                          strides, box, elementStrides, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                          CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
          "cuTensorMapEncodeTiled");
    return std::bit_cast<TensorMap>(encoded);
}

std::shared_ptr<Module> CudaDevice::loadModule(ConstBytes image) { return std::make_shared<CudaModule>(*this, image); }
std::shared_ptr<Module> CudaDevice::loadLibrary(const std::string&) { emulatorOnly("loadLibrary"); }

int CudaDevice::occupancy(Kernel& base, uint32_t threads, uint32_t sharedBytes) {
    auto& kernel = static_cast<CudaKernel&>(base);
    const Current current(*this);
    kernel.raiseSharedLimit(sharedBytes);
    int blocks = 0;
    check(driver_->cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel.function(), static_cast<int>(threads), sharedBytes),
          "cuOccupancyMaxActiveBlocksPerMultiprocessor");
    return blocks;
}

void CudaDevice::launch(Kernel& base, const LaunchShape& shape, ConstBytes params) {
    auto& kernel = static_cast<CudaKernel&>(base);
    kernel.checkParams(params.size());
    const Current current(*this);
    kernel.raiseSharedLimit(shape.sharedBytes);
    // The driver reads as many bytes as the kernel declares. Where it could not tell us how many (before 12.4), zeros up to the
    // old limit follow ours, so a mismatch is a wrong result in the kernel and never a read outside our memory.
    constexpr size_t oldLimit = 4096;
    alignas(64) std::array<uint8_t, kMostParamBytes> copy;  // as a struct with tensor maps is
    if (!params.empty()) std::memcpy(copy.data(), params.data(), params.size());
    if (params.size() < oldLimit) std::memset(copy.data() + params.size(), 0, oldLimit - params.size());
    void* pointers[] = {copy.data()};
    const bool programmatic = shape.programmatic && canOverlap();
    const CUresult result = programmatic ? launchProgrammatic(kernel.function(), shape, pointers)
                                         : driver_->cuLaunchKernel(kernel.function(), shape.grid, 1, 1, shape.threads, 1, 1,
                                                                   shape.sharedBytes, stream_, pointers, nullptr);
    // The details are put together for a failure only: launches are frequent.
    if (result != CUDA_SUCCESS) {
        check(result, programmatic ? "cuLaunchKernelEx" : "cuLaunchKernel",
              "Kernel '" + kernel.name + "', grid " + std::to_string(shape.grid) + ", " + std::to_string(shape.threads) +
                  " threads, " + std::to_string(shape.sharedBytes) + " bytes of dynamic shared memory");
    }
    if (capturing()) captured_.push_back(kernel.module);
}

bool CudaDevice::canOverlap() const {
    constexpr int inGraphs = 12030;  // the first version whose graphs have programmatic edges
    return properties_.computeMajor >= 9 && driver_->cuLaunchKernelEx != nullptr && (!capturing() || driver_->version >= inGraphs);
}

CUresult CudaDevice::launchProgrammatic(CUfunction function, const LaunchShape& shape, void** params) {
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
    const CUlaunchConfig config{shape.grid, 1, 1, shape.threads, 1, 1, shape.sharedBytes, stream_, &attribute, 1};
    return driver_->cuLaunchKernelEx(&config, function, params, nullptr);
}

void CudaDevice::synchronize() {
    const Current current(*this);
    check(driver_->cuStreamSynchronize(stream_), "cuStreamSynchronize");
}

void CudaDevice::startCapture() {
    const Current current(*this);
    // Relaxed: other threads of the process may use their own streams, and buffers may be allocated, while this one captures.
    check(driver_->cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), "cuStreamBeginCapture");
}

std::unique_ptr<Graph> CudaDevice::finishCapture() {
    const Current current(*this);
    CUgraph graph = nullptr;
    auto modules = std::exchange(captured_, {});
    check(driver_->cuStreamEndCapture(stream_, &graph), "cuStreamEndCapture");
    CUgraphExec exec = nullptr;
    const CUresult result = driver_->cuGraphInstantiateWithFlags(&exec, graph, 0);
    driver_->cuGraphDestroy(graph);
    check(result, "cuGraphInstantiateWithFlags");
    return std::make_unique<CudaGraph>(*this, exec, std::move(modules));
}

void CudaDevice::dropCapture() noexcept {
    try {
        const Current current(*this);
        CUgraph graph = nullptr;
        if (driver_->cuStreamEndCapture(stream_, &graph) == CUDA_SUCCESS && graph) driver_->cuGraphDestroy(graph);
    } catch (...) {
    }
    captured_.clear();
}

void CudaDevice::launchGraph(Graph& graph) {
    const Current current(*this);
    check(driver_->cuGraphLaunch(static_cast<CudaGraph&>(graph).exec, stream_), "cuGraphLaunch");
}

std::unique_ptr<Event> CudaDevice::recordEvent() {
    const Current current(*this);
    CUevent event = nullptr;
    check(driver_->cuEventCreate(&event, CU_EVENT_DEFAULT), "cuEventCreate");
    auto owner = std::make_unique<CudaEvent>(*this, event);
    check(driver_->cuEventRecord(event, stream_), "cuEventRecord");
    return owner;
}

double CudaDevice::elapsedMilliseconds(Event& from, Event& to) {
    const Current current(*this);
    const CUevent first = static_cast<CudaEvent&>(from).event, second = static_cast<CudaEvent&>(to).event;
    check(driver_->cuEventSynchronize(first), "cuEventSynchronize");
    check(driver_->cuEventSynchronize(second), "cuEventSynchronize");
    float milliseconds = 0;
    check(driver_->cuEventElapsedTime(&milliseconds, first, second), "cuEventElapsedTime");
    return milliseconds;
}

const emulator::Counters& CudaDevice::counters() const { emulatorOnly("counters"); }
void CudaDevice::resetCounters() { emulatorOnly("resetCounters"); }
void CudaDevice::setSeed(uint64_t) { emulatorOnly("setSeed"); }

}  // namespace moa::cuda
