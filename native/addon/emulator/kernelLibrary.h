// A shared object with kernels built for the emulator.
#pragma once
#include "addon/device.h"

namespace moa::emulator {

using EntryPoint = int32_t (*)(Launch*);

class EmulatedKernel final : public Kernel {
public:
    EntryPoint entry = nullptr;
};

class KernelLibrary final : public Module {
public:
    explicit KernelLibrary(const std::string& path);
    ~KernelLibrary() override { release(); }
    void release() override;
    std::unique_ptr<Kernel> kernel(std::shared_ptr<Module> self, const std::string& name) override;

private:
    void* handle_ = nullptr;
    std::string path_;
};

}  // namespace moa::emulator
