#include "addon/cuda/cudaModule.h"

#include <cstring>

#include "addon/cuda/cudaErrors.h"
#include "addon/cuda/image.h"

namespace moa::cuda {
namespace {

constexpr uint32_t kDefaultSharedBytes = 48 * 1024;

std::string adviceForImage(const DeviceProperties& properties, CUresult result) {
    if (result != CUDA_ERROR_INVALID_IMAGE && result != CUDA_ERROR_NO_BINARY_FOR_GPU) return "";
    const std::string major = std::to_string(properties.computeMajor), minor = std::to_string(properties.computeMinor);
    return "This cubin was not built for this GPU (" + properties.name + ", compute capability " + major + "." + minor +
           "), or it is damaged: compile with --arch sm_" + major + minor;
}

}  // namespace

CudaModule::CudaModule(CudaDevice& device, ConstBytes image) : device_(device) {
    if (const std::string problem = imageProblem(image); !problem.empty())
        throw Failure("MOA_INVALID_IMAGE", "this is not a cubin that can be loaded: " + problem + ". Compile the plan again");
    const CudaDevice::Current current(device_);
    char log[4096] = "";
    int names[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    // The size travels in the pointer itself.
    void* values[] = {log, reinterpret_cast<void*>(uintptr_t{sizeof log})};
    const CUresult result = device_.driver().cuModuleLoadDataEx(&module_, image.data(), 2, names, values);
    if (result == CUDA_SUCCESS) return;
    log[sizeof log - 1] = '\0';
    std::string details = adviceForImage(device_.properties(), result);
    if (log[0] != '\0') details += std::string(details.empty() ? "" : ". ") + "The driver says: " + log;
    device_.check(result, "cuModuleLoadDataEx", details);
}

CudaModule::~CudaModule() {
    try {
        release();
    } catch (...) {
    }
}

void CudaModule::release() {
    const CUmodule module = std::exchange(module_, nullptr);
    if (module) device_.releaseAfterWork([&] { device_.driver().cuModuleUnload(module); });
}

std::unique_ptr<Kernel> CudaModule::kernel(std::shared_ptr<Module> self, const std::string& name) {
    const CudaDevice::Current current(device_);
    CUfunction function = nullptr;
    device_.check(device_.driver().cuModuleGetFunction(&function, module_, name.c_str()), "cuModuleGetFunction",
                  "Kernel '" + name + "'");
    auto kernel = std::make_unique<CudaKernel>(device_, function);
    kernel->name = name;
    kernel->module = std::move(self);
    return kernel;
}

CudaKernel::CudaKernel(CudaDevice& device, CUfunction function) : device_(device), function_(function) {
    // Asking also loads the code of a lazily loaded module, which must not happen in the middle of a capture.
    const auto attribute = [&](int which) {
        int value = 0;
        device_.check(device_.driver().cuFuncGetAttribute(&value, which, function_), "cuFuncGetAttribute");
        return value;
    };
    attributes.registers = attribute(CU_FUNC_ATTRIBUTE_NUM_REGS);
    attributes.localBytes = attribute(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES);
    attributes.staticSharedBytes = attribute(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES);
    attributes.maxThreads = attribute(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK);
    const auto taken = static_cast<uint32_t>(attributes.staticSharedBytes);
    sharedLimit_ = taken < kDefaultSharedBytes ? kDefaultSharedBytes - taken : 0;

    const auto paramInfo = device_.driver().cuFuncGetParamInfo;
    if (!paramInfo) return;
    size_t offset = 0, bytes = 0;
    // The first parameter only: asking for one that is not there is an error, which tools that watch the driver report.
    paramBytes_ = paramInfo(function_, 0, &offset, &bytes) == CUDA_SUCCESS ? bytes : 0;
}

void CudaKernel::raiseSharedLimit(uint32_t sharedBytes) {
    if (sharedBytes <= sharedLimit_) return;
    const uint64_t most = device_.properties().sharedBytesPerBlock, taken = static_cast<uint64_t>(attributes.staticSharedBytes);
    if (sharedBytes + taken > most)
        throw OutOfRange("kernel '" + name + "' asks for " + std::to_string(sharedBytes) + " bytes of dynamic and " +
                         std::to_string(taken) + " of static shared memory; a block of this GPU may have " + std::to_string(most));
    device_.check(device_.driver().cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                                      static_cast<int>(sharedBytes)),
                  "cuFuncSetAttribute");
    sharedLimit_ = sharedBytes;
}

void CudaKernel::checkParams(size_t bytes) const {
    if (bytes > kMostParamBytes)
        throw OutOfRange("kernel '" + name + "' is passed " + std::to_string(bytes) +
                         " bytes of parameters; at most 32764 are possible");
    if (paramBytes_ && *paramBytes_ != bytes)
        throw Failure("MOA_WRONG_PARAMS", "kernel '" + name + "' takes " + std::to_string(*paramBytes_) +
                                              " bytes of parameters, but " + std::to_string(bytes) +
                                              " were passed: the cubin and the runtime are of different builds");
}

}  // namespace moa::cuda
