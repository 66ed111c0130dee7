// The state of the addon in one JavaScript environment (the main thread, or one worker): its devices and what they own.
#pragma once
#include <napi.h>

#include "addon/cuda/driver.h"
#include "addon/device.h"
#include "addon/handleTable.h"
#include "addon/node/arguments.h"

namespace moa {

class Addon final : public Napi::Addon<Addon> {
public:
    Addon(Napi::Env env, Napi::Object exports);
    ~Addon();

private:
    /// An object and the device it lives on. The device is declared first so that it goes last.
    template <typename T>
    struct Owned {
        std::shared_ptr<Device> device;
        T object;
    };

    using Args = const Arguments&;
    /// Calls the method that `Call` names and turns what it throws into JavaScript errors.
    template <auto Call>
    Napi::Value guarded(const Napi::CallbackInfo& info);

    Napi::Value cudaStatus(Args);
    Napi::Value setCudaLibrary(Args);
    Napi::Value openCuda(Args);
    Napi::Value openEmulator(Args);
    Napi::Value properties(Args);
    Napi::Value closeDevice(Args);
    Napi::Value allocate(Args);
    Napi::Value freeBuffer(Args);
    Napi::Value address(Args);
    Napi::Value write(Args);
    Napi::Value read(Args);
    Napi::Value fill(Args);
    Napi::Value copy(Args);
    Napi::Value tensorMap(Args);
    Napi::Value loadModule(Args);
    Napi::Value loadLibrary(Args);
    Napi::Value unloadModule(Args);
    Napi::Value kernel(Args);
    Napi::Value attributes(Args);
    Napi::Value occupancy(Args);
    Napi::Value launch(Args);
    Napi::Value synchronize(Args);
    Napi::Value beginCapture(Args);
    Napi::Value endCapture(Args);
    Napi::Value abortCapture(Args);
    Napi::Value launchGraph(Args);
    Napi::Value freeGraph(Args);
    Napi::Value recordEvent(Args);
    Napi::Value elapsedMilliseconds(Args);
    Napi::Value freeEvent(Args);
    Napi::Value counters(Args);
    Napi::Value resetCounters(Args);
    Napi::Value setSeed(Args);

    Napi::Value number(double value) { return Napi::Number::New(env_, value); }
    Napi::Value handle(uint64_t value) { return number(static_cast<double>(value)); }
    Napi::Value nothing() { return env_.Undefined(); }
    Device& device(Args args, size_t i = 0) { return *devices_.get(args.handle(i)); }
    cuda::DriverSearch searchDriver() const;
    void closeAll();
    void removeObjectsOf(const Device* device);

    const Napi::Env env_;
    const uint32_t instance_;
    std::string cudaLibrary_;
    HandleTable<std::shared_ptr<Device>> devices_;
    HandleTable<Owned<std::unique_ptr<Memory>>> buffers_;
    HandleTable<Owned<std::shared_ptr<Module>>> modules_;
    HandleTable<Owned<std::unique_ptr<Kernel>>> kernels_;
    HandleTable<Owned<std::unique_ptr<Graph>>> graphs_;
    HandleTable<Owned<std::unique_ptr<Event>>> events_;
};

}  // namespace moa
