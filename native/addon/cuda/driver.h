// The CUDA driver, opened when it is first needed. Nothing here is linked: a machine without a GPU loads the addon too.
#pragma once
#include <memory>
#include <string>

#include "addon/cuda/driverTypes.h"

namespace moa::cuda {

// X(name in the documentation, symbol in the library, parameters). The symbols with _v2 are what CUDA's headers call by the plain
// name; the plain symbol is an older interface with 32-bit sizes.
#define MOA_CUDA_FUNCTIONS(X)                                                                                                    \
    X(cuInit, "cuInit", (unsigned flags))                                                                                        \
    X(cuDriverGetVersion, "cuDriverGetVersion", (int* version))                                                                  \
    X(cuGetErrorName, "cuGetErrorName", (CUresult error, const char** text))                                                     \
    X(cuGetErrorString, "cuGetErrorString", (CUresult error, const char** text))                                                 \
    X(cuDeviceGetCount, "cuDeviceGetCount", (int* count))                                                                        \
    X(cuDeviceGet, "cuDeviceGet", (CUdevice* device, int ordinal))                                                               \
    X(cuDeviceGetName, "cuDeviceGetName", (char* name, int length, CUdevice device))                                             \
    X(cuDeviceTotalMem, "cuDeviceTotalMem_v2", (size_t* bytes, CUdevice device))                                                 \
    X(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int* value, int attribute, CUdevice device))                                \
    X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext* context, CUdevice device))                               \
    X(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (CUdevice device))                                              \
    X(cuCtxPushCurrent, "cuCtxPushCurrent_v2", (CUcontext context))                                                              \
    X(cuCtxPopCurrent, "cuCtxPopCurrent_v2", (CUcontext* context))                                                               \
    X(cuStreamCreate, "cuStreamCreate", (CUstream* stream, unsigned flags))                                                      \
    X(cuStreamDestroy, "cuStreamDestroy_v2", (CUstream stream))                                                                  \
    X(cuStreamSynchronize, "cuStreamSynchronize", (CUstream stream))                                                             \
    X(cuMemGetInfo, "cuMemGetInfo_v2", (size_t* free, size_t* total))                                                            \
    X(cuMemAlloc, "cuMemAlloc_v2", (CUdeviceptr* pointer, size_t bytes))                                                         \
    X(cuMemFree, "cuMemFree_v2", (CUdeviceptr pointer))                                                                          \
    X(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void* from, size_t bytes, CUstream stream))              \
    X(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2", (void* to, CUdeviceptr from, size_t bytes, CUstream stream))                    \
    X(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2", (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))              \
    X(cuMemsetD8Async, "cuMemsetD8Async", (CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))                  \
    X(cuModuleLoadDataEx, "cuModuleLoadDataEx",                                                                                  \
      (CUmodule* module, const void* image, unsigned options, int* names, void** values))                                        \
    X(cuModuleUnload, "cuModuleUnload", (CUmodule module))                                                                       \
    X(cuModuleGetFunction, "cuModuleGetFunction", (CUfunction* function, CUmodule module, const char* name))                     \
    X(cuFuncGetAttribute, "cuFuncGetAttribute", (int* value, int attribute, CUfunction function))                                \
    X(cuFuncSetAttribute, "cuFuncSetAttribute", (CUfunction function, int attribute, int value))                                 \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor, "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                \
      (int* blocks, CUfunction function, int threads, size_t sharedBytes))                                                       \
    X(cuLaunchKernel, "cuLaunchKernel",                                                                                          \
      (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ,   \
       unsigned sharedBytes, CUstream stream, void** params, void** extra))                                                      \
    X(cuStreamBeginCapture, "cuStreamBeginCapture_v2", (CUstream stream, int mode))                                              \
    X(cuStreamEndCapture, "cuStreamEndCapture", (CUstream stream, CUgraph* graph))                                               \
    X(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags", (CUgraphExec* exec, CUgraph graph, unsigned long long flags))  \
    X(cuGraphLaunch, "cuGraphLaunch", (CUgraphExec exec, CUstream stream))                                                       \
    X(cuGraphExecDestroy, "cuGraphExecDestroy", (CUgraphExec exec))                                                              \
    X(cuGraphDestroy, "cuGraphDestroy", (CUgraph graph))                                                                         \
    X(cuEventCreate, "cuEventCreate", (CUevent* event, unsigned flags))                                                          \
    X(cuEventRecord, "cuEventRecord", (CUevent event, CUstream stream))                                                          \
    X(cuEventSynchronize, "cuEventSynchronize", (CUevent event))                                                                 \
    X(cuEventQuery, "cuEventQuery", (CUevent event))                                                                             \
    X(cuEventElapsedTime, "cuEventElapsedTime", (float* milliseconds, CUevent from, CUevent to))                                 \
    X(cuEventDestroy, "cuEventDestroy_v2", (CUevent event))

struct Driver {
#define MOA_DECLARE(name, symbol, parameters) CUresult(*name) parameters = nullptr;
    MOA_CUDA_FUNCTIONS(MOA_DECLARE)
#undef MOA_DECLARE
    /// From CUDA 12.4 on; null in older drivers.
    CUresult (*cuFuncGetParamInfo)(CUfunction function, size_t index, size_t* offset, size_t* bytes) = nullptr;

    /// From CUDA 11.8 on; null in older drivers.
    CUresult (*cuLaunchKernelEx)(const CUlaunchConfig* config, CUfunction function, void** params, void** extra) = nullptr;

    /// From CUDA 12.0 on; null in older drivers. The map is 64-byte aligned; sizes and strides begin with the fastest dimension.
    CUresult (*cuTensorMapEncodeTiled)(CUtensorMap* map, int dataType, uint32_t rank, void* address, const uint64_t* dimensions,
                                       const uint64_t* strides, const uint32_t* box, const uint32_t* elementStrides, int interleave,
                                       int swizzle, int l2Promotion, int outOfBoundsFill) = nullptr;

    /// 12040 for CUDA 12.4.
    int version = 0;
    int deviceCount = 0;
};

/// Either a driver that is initialised and sees a device, or why there is none.
struct DriverSearch {
    std::shared_ptr<const Driver> driver;
    /// `MOA_NO_DRIVER`, `MOA_DRIVER_TOO_OLD`, or the driver's own (`CUDA_ERROR_NO_DEVICE`).
    std::string code;
    std::string reason;
    int version = 0;
};

/// `library` is the path to use instead of the usual names, or empty. Never throws; not cached, so a driver that is installed
/// later is found. The library stays open until the process ends: the driver keeps threads that must not lose their code.
DriverSearch findDriver(const std::string& library);

}  // namespace moa::cuda
