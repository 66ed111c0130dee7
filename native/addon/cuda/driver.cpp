#include "addon/cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>

#include "addon/cuda/cudaErrors.h"

namespace moa::cuda {
namespace {

// cuGraphInstantiateWithFlags is the newest function that is needed.
constexpr int kOldestVersion = 11040;

std::string versionText(int version) { return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10); }

void* openLibrary(const std::string& library, std::string& tried) {
    // libcuda.so alone is part of development packages and may be a stub that always fails; the driver itself installs .so.1.
    const std::string names[] = {library.empty() ? "libcuda.so.1" : library, library.empty() ? "libcuda.so" : ""};
    for (const std::string& name : names) {
        if (name.empty()) continue;
        if (void* handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
        const char* error = dlerror();
        tried += (tried.empty() ? "" : "; ") + name + " (" + (error ? error : "unknown error") + ")";
    }
    return nullptr;
}

/// The first required symbol that is missing, or null.
const char* resolve(void* handle, Driver& driver) {
#define MOA_RESOLVE(name, symbol, parameters)                                      \
    driver.name = reinterpret_cast<CUresult(*) parameters>(dlsym(handle, symbol)); \
    if (!driver.name) return symbol;
    MOA_CUDA_FUNCTIONS(MOA_RESOLVE)
#undef MOA_RESOLVE
    driver.cuFuncGetParamInfo = reinterpret_cast<decltype(driver.cuFuncGetParamInfo)>(dlsym(handle, "cuFuncGetParamInfo"));
    driver.cuLaunchKernelEx = reinterpret_cast<decltype(driver.cuLaunchKernelEx)>(dlsym(handle, "cuLaunchKernelEx"));
    driver.cuTensorMapEncodeTiled = reinterpret_cast<decltype(driver.cuTensorMapEncodeTiled)>(dlsym(handle, "cuTensorMapEncodeTiled"));
    return nullptr;
}

std::string visibleDevices() {
    const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
    return value ? std::string("; CUDA_VISIBLE_DEVICES is \"") + value + "\"" : "";
}

DriverSearch none(const std::string& code, const std::string& reason, int version = 0) { return {nullptr, code, reason, version}; }

}  // namespace

DriverSearch findDriver(const std::string& library) {
    std::string tried;
    void* handle = openLibrary(library, tried);
    if (!handle) return none("MOA_NO_DRIVER", "the NVIDIA driver library cannot be opened: " + tried);

    auto driver = std::make_shared<Driver>();
    const char* missing = resolve(handle, *driver);
    const std::string needed = "; CUDA " + versionText(kOldestVersion) + " or newer is needed: update the NVIDIA driver";
    // The version first: it is the better explanation of a missing symbol.
    if (driver->cuDriverGetVersion && driver->cuDriverGetVersion(&driver->version) == CUDA_SUCCESS &&
        driver->version < kOldestVersion)
        return none("MOA_DRIVER_TOO_OLD", "the NVIDIA driver supports CUDA " + versionText(driver->version) + " at most" + needed,
                    driver->version);
    if (missing) return none("MOA_DRIVER_TOO_OLD", std::string("the NVIDIA driver has no ") + missing + needed, driver->version);

    CUresult result = driver->cuInit(0);
    if (result == CUDA_SUCCESS) result = driver->cuDeviceGetCount(&driver->deviceCount);
    if (result == CUDA_ERROR_NO_DEVICE || (result == CUDA_SUCCESS && driver->deviceCount == 0))
        return none("CUDA_ERROR_NO_DEVICE",
                    "the NVIDIA driver is installed, but no GPU is visible to this process" + visibleDevices(), driver->version);
    if (result != CUDA_SUCCESS) return none(errorName(*driver, result), errorText(*driver, result, "cuInit"), driver->version);
    const int version = driver->version;
    return {std::move(driver), "", "", version};
}

}  // namespace moa::cuda
