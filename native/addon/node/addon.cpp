// The functions that src/runtime/native.ts declares. Each checks its arguments, finds its objects and calls the backend.
#include "addon/node/addon.h"

#include <algorithm>
#include <atomic>
#include <new>

#include "addon/cuda/cudaDevice.h"
#include "addon/emulator/emulatorDevice.h"

namespace moa {
namespace {

// Tells the instances of one process apart in their handles.
std::atomic<uint32_t> instances{0};

constexpr uint32_t kMostGrid = 0x7FFFFFFF;
constexpr uint32_t kMostThreads = 1024;
constexpr uint32_t kMostSharedBytes = 16 << 20;  // any more is a mistake; the device's own limit is checked at the launch
constexpr uint32_t kMostMultiprocessors = 4096;

// The name of a function in messages, as a template argument.
template <size_t N>
struct Name {
    consteval Name(const char (&text)[N]) { std::copy_n(text, N, characters); }
    char characters[N];
};

template <auto Method, Name name>
struct Entry {
    static constexpr auto method = Method;
    static constexpr const char* text = name.characters;
};

/// Whether `[offset, offset + bytes)` lies in a buffer, without overflow.
void checkRange(const char* call, const Memory& memory, uint64_t offset, uint64_t bytes) {
    if (offset <= memory.bytes && bytes <= memory.bytes - offset) return;
    throw OutOfRange(std::string(call) + ": bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) + " are asked for, the buffer has " +
                     std::to_string(memory.bytes));
}

Napi::Error javaScriptError(Napi::Env env, const Failure& failure) {
    Napi::Error error = Napi::Error::New(env, failure.what());
    error.Set("code", failure.code());
    if (failure.findings().empty()) return error;
    Napi::Array findings = Napi::Array::New(env, failure.findings().size());
    for (uint32_t i = 0; i < failure.findings().size(); i += 1) {
        Napi::Object finding = Napi::Object::New(env);
        finding.Set("kind", failure.findings()[i].kind);
        finding.Set("message", failure.findings()[i].message);
        findings.Set(i, finding);
    }
    error.Set("findings", findings);
    return error;
}

}  // namespace

template <auto Call>
Napi::Value Addon::guarded(const Napi::CallbackInfo& info) {
    using E = decltype(Call);
    try {
        return (this->*E::method)(Arguments(info, E::text));
    } catch (const Napi::Error&) {
        throw;
    } catch (const Misuse& misuse) {
        throw Napi::TypeError::New(info.Env(), misuse.what());
    } catch (const OutOfRange& outOfRange) {
        Napi::RangeError error = Napi::RangeError::New(info.Env(), outOfRange.what());
        error.Set("code", "MOA_OUT_OF_RANGE");
        throw error;
    } catch (const Failure& failure) {
        throw javaScriptError(info.Env(), failure);
    } catch (const std::bad_alloc&) {
        throw javaScriptError(info.Env(), Failure("MOA_OUT_OF_MEMORY", std::string(E::text) + ": the host has no memory left"));
    } catch (const std::exception& unexpected) {
        throw javaScriptError(info.Env(), Failure("MOA_INTERNAL", std::string(E::text) + ": internal error: " + unexpected.what()));
    }
}

Addon::Addon(Napi::Env env, Napi::Object exports)
    : env_(env),
      instance_(instances.fetch_add(1)),
      devices_(HandleKind::device, instance_),
      buffers_(HandleKind::buffer, instance_),
      modules_(HandleKind::module, instance_),
      kernels_(HandleKind::kernel, instance_),
      graphs_(HandleKind::graph, instance_),
      events_(HandleKind::event, instance_) {
#define MOA_EXPORT(name) InstanceMethod<&Addon::guarded<Entry<&Addon::name, #name>{}>>(#name, napi_enumerable)
    DefineAddon(exports,
                {MOA_EXPORT(cudaStatus),   MOA_EXPORT(setCudaLibrary), MOA_EXPORT(openCuda),     MOA_EXPORT(openEmulator), MOA_EXPORT(properties),
                 MOA_EXPORT(closeDevice),  MOA_EXPORT(allocate),       MOA_EXPORT(freeBuffer),   MOA_EXPORT(address),      MOA_EXPORT(write),
                 MOA_EXPORT(read),         MOA_EXPORT(fill),           MOA_EXPORT(copy),         MOA_EXPORT(loadModule),   MOA_EXPORT(loadLibrary),
                 MOA_EXPORT(unloadModule), MOA_EXPORT(kernel),         MOA_EXPORT(attributes),   MOA_EXPORT(occupancy),    MOA_EXPORT(launch),
                 MOA_EXPORT(synchronize),  MOA_EXPORT(beginCapture),   MOA_EXPORT(endCapture),   MOA_EXPORT(abortCapture), MOA_EXPORT(launchGraph),
                 MOA_EXPORT(freeGraph),    MOA_EXPORT(recordEvent),    MOA_EXPORT(elapsedMilliseconds), MOA_EXPORT(freeEvent), MOA_EXPORT(counters),
                 MOA_EXPORT(resetCounters), MOA_EXPORT(setSeed)});
#undef MOA_EXPORT
    // When a worker ends, its devices go at once: the instance itself may be collected later.
    env.AddCleanupHook([](Addon* addon) { addon->closeAll(); }, this);
}

Addon::~Addon() { closeAll(); }

void Addon::removeObjectsOf(const Device* device) {
    const auto belongs = [device](const auto& owned) { return !device || owned.device.get() == device; };
    // Graphs and kernels before the modules whose code they name.
    graphs_.removeIf(belongs);
    events_.removeIf(belongs);
    kernels_.removeIf(belongs);
    modules_.removeIf(belongs);
    buffers_.removeIf(belongs);
}

void Addon::closeAll() {
    removeObjectsOf(nullptr);
    devices_.removeIf([](const auto&) { return true; });
}

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
    const emulator::EmulatorOptions checked{args.seedOf(options.Get("seed"), "seed"),
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

// ---- Buffers ----

Napi::Value Addon::allocate(Args args) {
    const std::shared_ptr<Device>& on = devices_.get(args.handle(0));
    return handle(buffers_.add({on, on->allocate(args.byteCount(1, "bytes"))}));
}

Napi::Value Addon::freeBuffer(Args args) {
    const uint64_t which = args.handle(0);
    buffers_.get(which).device->refuseWhileCapturing("freeBuffer");
    buffers_.remove(which).object->release();
    return nothing();
}

Napi::Value Addon::address(Args args) { return Napi::BigInt::New(env_, buffers_.get(args.handle(0)).object->address); }

Napi::Value Addon::write(Args args) {
    auto& [on, memory] = buffers_.get(args.handle(0));
    const uint64_t offset = args.byteCount(1, "offset");
    const Bytes data = args.bytes(2, "data");
    checkRange("write", *memory, offset, data.size());
    on->refuseWhileCapturing("write");
    if (!data.empty()) on->write(*memory, offset, data);
    return nothing();
}

Napi::Value Addon::read(Args args) {
    auto& [on, memory] = buffers_.get(args.handle(0));
    const uint64_t offset = args.byteCount(1, "offset");
    const Bytes into = args.bytes(2, "into");
    checkRange("read", *memory, offset, into.size());
    on->refuseWhileCapturing("read");
    if (!into.empty()) on->read(*memory, offset, into);
    return nothing();
}

Napi::Value Addon::fill(Args args) {
    auto& [on, memory] = buffers_.get(args.handle(0));
    const uint64_t offset = args.byteCount(1, "offset"), bytes = args.byteCount(2, "bytes");
    const auto value = static_cast<uint8_t>(args.integer32(3, "value", 0, 255));
    checkRange("fill", *memory, offset, bytes);
    on->refuseWhileCapturing("fill");
    if (bytes != 0) on->fill(*memory, offset, bytes, value);
    return nothing();
}

Napi::Value Addon::copy(Args args) {
    auto& [on, to] = buffers_.get(args.handle(0));
    auto& [fromDevice, from] = buffers_.get(args.handle(2));
    const uint64_t toOffset = args.byteCount(1, "toOffset"), fromOffset = args.byteCount(3, "fromOffset"), bytes = args.byteCount(4, "bytes");
    if (on != fromDevice) throw Misuse("copy: the buffers belong to different devices");
    checkRange("copy", *to, toOffset, bytes);
    checkRange("copy", *from, fromOffset, bytes);
    on->refuseWhileCapturing("copy");
    if (bytes != 0) on->copy(*to, toOffset, *from, fromOffset, bytes);
    return nothing();
}

// ---- Modules and kernels ----

Napi::Value Addon::loadModule(Args args) {
    const std::shared_ptr<Device>& on = devices_.get(args.handle(0));
    const Bytes image = args.bytes(1, "image");
    on->refuseWhileCapturing("loadModule");
    return handle(modules_.add({on, on->loadModule(image)}));
}

Napi::Value Addon::loadLibrary(Args args) {
    const std::shared_ptr<Device>& on = devices_.get(args.handle(0));
    return handle(modules_.add({on, on->loadLibrary(args.text(1, "path"))}));
}

Napi::Value Addon::unloadModule(Args args) {
    const uint64_t which = args.handle(0);
    modules_.get(which).device->refuseWhileCapturing("unloadModule");
    const std::shared_ptr<Module> module = modules_.remove(which).object;
    kernels_.removeIf([&](const auto& owned) { return owned.object->module == module; });
    // A graph that holds the module's kernels keeps it until it is freed itself.
    if (module.use_count() == 1) module->release();
    return nothing();
}

Napi::Value Addon::kernel(Args args) {
    auto& [on, module] = modules_.get(args.handle(0));
    const std::string name = args.text(1, "name");
    on->refuseWhileCapturing("kernel");
    return handle(kernels_.add({on, module->kernel(module, name)}));
}

Napi::Value Addon::attributes(Args args) {
    const KernelAttributes& attributes = kernels_.get(args.handle(0)).object->attributes;
    Napi::Object result = Napi::Object::New(env_);
    result.Set("registers", attributes.registers);
    result.Set("localBytes", attributes.localBytes);
    result.Set("staticSharedBytes", attributes.staticSharedBytes);
    result.Set("maxThreads", attributes.maxThreads);
    return result;
}

Napi::Value Addon::occupancy(Args args) {
    auto& [on, kernel] = kernels_.get(args.handle(0));
    const uint32_t threads = args.integer32(1, "threads", 1, kMostThreads), sharedBytes = args.integer32(2, "sharedBytes", 0, kMostSharedBytes);
    return number(on->occupancy(*kernel, threads, sharedBytes));
}

Napi::Value Addon::launch(Args args) {
    auto& [on, kernel] = kernels_.get(args.handle(0));
    const LaunchShape shape{args.integer32(1, "grid", 1, kMostGrid), args.integer32(2, "threads", 1, kMostThreads), args.integer32(3, "sharedBytes", 0, kMostSharedBytes)};
    on->launch(*kernel, shape, args.bytes(4, "params"));
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

using moa::Addon;
NODE_API_ADDON(Addon)
