// Modules and kernels of a GPU.
#pragma once
#include "addon/cuda/cudaDevice.h"

namespace moa::cuda {

/// A kernel's parameters are one struct. 4 KiB is every driver's limit, 32,764 bytes the newest ones'.
inline constexpr size_t kMostParamBytes = 32764;

class CudaModule final : public Module {
public:
    CudaModule(CudaDevice& device, ConstBytes image);
    ~CudaModule() override;
    void release() override;
    std::unique_ptr<Kernel> kernel(std::shared_ptr<Module> self, const std::string& name) override;

private:
    CudaDevice& device_;
    CUmodule module_ = nullptr;
};

class CudaKernel final : public Kernel {
public:
    CudaKernel(CudaDevice& device, CUfunction function);

    /// Lets the kernel have `sharedBytes` of dynamic shared memory: beyond 48 KiB it must be asked for.
    void raiseSharedLimit(uint32_t sharedBytes);
    void checkParams(size_t bytes) const;
    CUfunction function() const { return function_; }

private:
    CudaDevice& device_;
    CUfunction function_;
    uint64_t sharedLimit_ = 0;
    /// What the kernel takes, where the driver can say (CUDA 12.4 and later).
    std::optional<size_t> paramBytes_;
};

}  // namespace moa::cuda
