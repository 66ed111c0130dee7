// Devices, their graphs and events, and what only the emulator has.
// Each function checks its arguments, finds its objects and calls the backend; src/runtime/native.ts says what it promises.
#include "addon/cuda/cudaDevice.h"
#include "addon/emulator/emulatorDevice.h"
#include "addon/node/addon.h"

namespace moa {
namespace {

constexpr uint32_t kMostMultiprocessors = 4096;

}  // namespace

// ---- Devices ----

cuda::DriverSearch Addon::searchDriver() const { return cuda::findDriver(cudaLibrary_); }

Napi::Value Addon::setCudaLibrary(Args args) {
    cudaLibrary_ = args.at(0).IsUndefined() ? "" : args.text(0, "path");
    return nothing();
}

Napi::Value Addon::cudaStatus(Args) {
    const cuda::DriverSearch search = searchDriver();
    Napi::Object status = Napi::Object::New(env_);
    status.Set("available", search.driver != nullptr);
    status.Set("reason", search.reason);
    status.Set("driverVersion", search.version);
    status.Set("deviceCount", search.driver ? search.driver->deviceCount : 0);
    return status;
}

Napi::Value Addon::openCuda(Args args) {
    const auto ordinal = static_cast<int>(args.integer(0, "ordinal", 0, 1 << 20));
    const cuda::DriverSearch search = searchDriver();
    if (!search.driver) throw Failure(search.code, search.reason);
    return handle(devices_.add(std::make_shared<cuda::CudaDevice>(search.driver, ordinal)));
}

Napi::Value Addon::openEmulator(Args args) {
    if (!args.at(0).IsObject()) throw Misuse("openEmulator: options must be an object");
    const auto options = args.at(0).As<Napi::Object>();
    const Napi::Value conflicts = options.Get("failOnBankConflict");
    if (!conflicts.IsBoolean()) throw Misuse("openEmulator: failOnBankConflict must be a boolean");
    const emulator::EmulatorOptions checked{
        args.seedOf(options.Get("seed"), "seed"),
        static_cast<uint32_t>(args.integerOf(options.Get("multiprocessors"), "multiprocessors", 1, kMostMultiprocessors)),
        conflicts.As<Napi::Boolean>().Value()};
    return handle(devices_.add(std::make_shared<emulator::EmulatorDevice>(checked)));
}

Napi::Value Addon::properties(Args args) {
    const DeviceProperties& properties = device(args).properties();
    Napi::Array capability = Napi::Array::New(env_, 2);
    capability.Set(0u, properties.computeMajor);
    capability.Set(1u, properties.computeMinor);
    Napi::Object result = Napi::Object::New(env_);
    result.Set("name", properties.name);
    result.Set("computeCapability", capability);
    result.Set("multiprocessors", properties.multiprocessors);
    result.Set("memoryBytes", static_cast<double>(properties.memoryBytes));
    result.Set("l2Bytes", static_cast<double>(properties.l2Bytes));
    result.Set("sharedBytesPerBlock", static_cast<double>(properties.sharedBytesPerBlock));
    return result;
}

Napi::Value Addon::closeDevice(Args args) {
    const uint64_t which = args.handle(0);
    if (devices_.wasFreed(which)) return nothing();
    const std::shared_ptr<Device> device = devices_.remove(which);
    device->abortCapture();
    removeObjectsOf(device.get());
    return nothing();
}

Napi::Value Addon::synchronize(Args args) {
    Device& on = device(args);
    on.refuseWhileCapturing("synchronize");
    on.synchronize();
    return nothing();
}

// ---- Graphs ----

Napi::Value Addon::beginCapture(Args args) {
    device(args).beginCapture();
    return nothing();
}

Napi::Value Addon::endCapture(Args args) {
    const std::shared_ptr<Device>& on = devices_.get(args.handle(0));
    return handle(graphs_.add({on, on->endCapture()}));
}

Napi::Value Addon::abortCapture(Args args) {
    device(args).abortCapture();
    return nothing();
}

Napi::Value Addon::launchGraph(Args args) {
    auto& [on, graph] = graphs_.get(args.handle(0));
    on->refuseWhileCapturing("launchGraph");
    on->launchGraph(*graph);
    return nothing();
}

Napi::Value Addon::freeGraph(Args args) {
    const uint64_t which = args.handle(0);
    graphs_.get(which).device->refuseWhileCapturing("freeGraph");
    graphs_.remove(which).object->release();
    return nothing();
}

// ---- Events ----

Napi::Value Addon::recordEvent(Args args) {
    const std::shared_ptr<Device>& on = devices_.get(args.handle(0));
    on->refuseWhileCapturing("recordEvent");
    return handle(events_.add({on, on->recordEvent()}));
}

Napi::Value Addon::elapsedMilliseconds(Args args) {
    auto& [on, from] = events_.get(args.handle(0));
    auto& [toDevice, to] = events_.get(args.handle(1));
    if (on != toDevice) throw Misuse("elapsedMilliseconds: the events belong to different devices");
    on->refuseWhileCapturing("elapsedMilliseconds");
    return number(on->elapsedMilliseconds(*from, *to));
}

Napi::Value Addon::freeEvent(Args args) {
    events_.remove(args.handle(0)).object->release();
    return nothing();
}

// ---- The emulator ----

Napi::Value Addon::counters(Args args) {
    const emulator::Counters& counters = device(args).counters();
    Napi::Object result = Napi::Object::New(env_);
    const auto set = [&](const char* name, uint64_t value) { result.Set(name, static_cast<double>(value)); };
    set("blocks", counters.blocks);
    set("tiles", counters.tiles);
    set("pages", counters.pages);
    set("globalLoadBytes", counters.globalLoadBytes);
    set("globalStoreBytes", counters.globalStoreBytes);
    set("asyncCopies", counters.asyncCopies);
    set("asyncCopyBytes", counters.asyncCopyBytes);
    set("zeroFills", counters.zeroFills);
    set("mma", counters.mma);
    set("ldmatrix", counters.ldmatrix);
    set("blockBarriers", counters.blockBarriers);
    set("bankConflicts", counters.bankConflicts);
    set("atomics", counters.atomics);
    set("fiberSwitches", counters.fiberSwitches);
    set("bulkCopies", counters.bulkCopies);
    set("bulkCopyBytes", counters.bulkCopyBytes);
    set("mbarrierWaits", counters.mbarrierWaits);
    set("namedBarriers", counters.namedBarriers);
    set("wgmma", counters.wgmma);
    return result;
}

Napi::Value Addon::resetCounters(Args args) {
    device(args).resetCounters();
    return nothing();
}

Napi::Value Addon::setSeed(Args args) {
    device(args).setSeed(args.seed(1, "seed"));
    return nothing();
}

}  // namespace moa
