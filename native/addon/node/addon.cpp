// The addon's entry: its table of functions, the end of an environment, and errors on their way to JavaScript. The functions
// themselves are in deviceCalls.cpp, bufferCalls.cpp and kernelCalls.cpp.
#include "addon/node/addon.h"

#include <algorithm>
#include <atomic>
#include <new>

namespace moa {
namespace {

// Tells the instances of one process apart in their handles.
std::atomic<uint32_t> instances{0};

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
                {MOA_EXPORT(cudaStatus),          MOA_EXPORT(setCudaLibrary), MOA_EXPORT(openCuda),     MOA_EXPORT(openEmulator),
                 MOA_EXPORT(properties),          MOA_EXPORT(closeDevice),    MOA_EXPORT(allocate),     MOA_EXPORT(freeBuffer),
                 MOA_EXPORT(address),             MOA_EXPORT(write),          MOA_EXPORT(read),         MOA_EXPORT(fill),
                 MOA_EXPORT(copy),                MOA_EXPORT(tensorMap),      MOA_EXPORT(loadModule),   MOA_EXPORT(loadLibrary),
                 MOA_EXPORT(unloadModule),        MOA_EXPORT(kernel),         MOA_EXPORT(attributes),   MOA_EXPORT(occupancy),
                 MOA_EXPORT(launch),              MOA_EXPORT(synchronize),    MOA_EXPORT(beginCapture), MOA_EXPORT(endCapture),
                 MOA_EXPORT(abortCapture),        MOA_EXPORT(launchGraph),    MOA_EXPORT(freeGraph),    MOA_EXPORT(recordEvent),
                 MOA_EXPORT(elapsedMilliseconds), MOA_EXPORT(freeEvent),      MOA_EXPORT(counters),     MOA_EXPORT(resetCounters),
                 MOA_EXPORT(setSeed)});
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

}  // namespace moa

using moa::Addon;
NODE_API_ADDON(Addon)
