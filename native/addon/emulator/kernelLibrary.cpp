#include "addon/emulator/kernelLibrary.h"

#include <dlfcn.h>

#include <utility>

namespace moa::emulator {

KernelLibrary::KernelLibrary(const std::string& path) : path_(path) {
    // Without a slash the loader would search the system's folders for it.
    if (path.find('/') == std::string::npos) throw Misuse("loadLibrary: the path must contain a slash, got '" + path + "'");
    handle_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_) return;
    const char* error = dlerror();
    throw Failure("MOA_LIBRARY_NOT_LOADED", "the kernel library cannot be loaded: " + std::string(error ? error : path.c_str()));
}

void KernelLibrary::release() {
    if (void* handle = std::exchange(handle_, nullptr)) dlclose(handle);
}

std::unique_ptr<Kernel> KernelLibrary::kernel(std::shared_ptr<Module> self, const std::string& name) {
    const std::string symbol = name + "_emulate";
    auto kernel = std::make_unique<EmulatedKernel>();
    kernel->entry = reinterpret_cast<EntryPoint>(dlsym(handle_, symbol.c_str()));
    if (!kernel->entry)
        throw Failure("MOA_KERNEL_NOT_FOUND", "the library " + path_ + " has no kernel '" + name + "' (symbol " + symbol + ")");
    kernel->name = name;
    kernel->module = std::move(self);
    kernel->attributes.maxThreads = 1024;
    return kernel;
}

}  // namespace moa::emulator
