#include "addon/cuda/cudaErrors.h"

namespace moa::cuda {
namespace {

const char* adviceFor(CUresult result) {
    switch (result) {
        case CUDA_ERROR_OUT_OF_MEMORY:
            return "Use a smaller batch or length bound, or dispose of buffers that are not needed";
        case CUDA_ERROR_DEVICE_UNAVAILABLE:
            return "Another process may hold the GPU in exclusive mode: see nvidia-smi -q -d COMPUTE";
        case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
            return "The driver is older than the CUDA toolkit that compiled this module: update the driver";
        case CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES:
            return "The launch asks for more registers or shared memory than a block may have, or passes too few parameters";
        case CUDA_ERROR_NOT_FOUND:
            return "The module has no symbol of this name: it may be a build of another plan";
        case CUDA_ERROR_ECC_UNCORRECTABLE:
        case CUDA_ERROR_NVLINK_UNCORRECTABLE:
        case CUDA_ERROR_CONTAINED:
        case CUDA_ERROR_EXTERNAL_DEVICE:
            return "The hardware failed: see dmesg and nvidia-smi -q, then restart the process";
        case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
            return "libcuda and the kernel driver have different versions: reboot, or reinstall the driver";
        case CUDA_ERROR_LAUNCH_TIMEOUT:
            return "The GPU also drives a display and stopped a kernel that ran too long; restart the process";
        default:
            return isSticky(result)
                       ? "A kernel failed earlier in this process, perhaps in a previous call. Run under compute-sanitizer to find "
                         "the "
                         "access, or run the same plan on the emulator; this process must be restarted to use the GPU again"
                       : nullptr;
    }
}

}  // namespace

std::string errorName(const Driver& driver, CUresult result) {
    const char* name = nullptr;
    if (driver.cuGetErrorName(result, &name) != CUDA_SUCCESS || !name) return "CUDA_ERROR_" + std::to_string(result);
    return name;
}

std::string errorText(const Driver& driver, CUresult result, const std::string& call, const std::string& details) {
    const char* meaning = nullptr;
    std::string text = call + " failed: " + errorName(driver, result) + " (" + std::to_string(result) + ")";
    if (driver.cuGetErrorString(result, &meaning) == CUDA_SUCCESS && meaning) text += std::string(": ") + meaning;
    if (!details.empty()) text += ". " + details;
    if (const char* advice = adviceFor(result)) text += std::string(". ") + advice;
    return text;
}

bool isSticky(CUresult result) {
    switch (result) {
        case CUDA_ERROR_ECC_UNCORRECTABLE:
        case CUDA_ERROR_NVLINK_UNCORRECTABLE:
        case CUDA_ERROR_CONTAINED:
        case CUDA_ERROR_ILLEGAL_ADDRESS:
        case CUDA_ERROR_LAUNCH_TIMEOUT:
        case CUDA_ERROR_CONTEXT_IS_DESTROYED:
        case CUDA_ERROR_ASSERT:
        case CUDA_ERROR_HARDWARE_STACK_ERROR:
        case CUDA_ERROR_ILLEGAL_INSTRUCTION:
        case CUDA_ERROR_MISALIGNED_ADDRESS:
        case CUDA_ERROR_INVALID_ADDRESS_SPACE:
        case CUDA_ERROR_INVALID_PC:
        case CUDA_ERROR_LAUNCH_FAILED:
        case CUDA_ERROR_TENSOR_MEMORY_LEAK:
        case CUDA_ERROR_EXTERNAL_DEVICE:
        case CUDA_ERROR_DEINITIALIZED:
            return true;
        default:
            return false;
    }
}

}  // namespace moa::cuda
