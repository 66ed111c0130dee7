// Modules and kernels.
// Each function checks its arguments, finds its objects and calls the backend; src/runtime/native.ts says what it promises.
#include "addon/node/addon.h"

namespace moa {
namespace {

constexpr uint32_t kMostGrid = 0x7FFFFFFF;
constexpr uint32_t kMostThreads = 1024;
constexpr uint32_t kMostSharedBytes = 16 << 20;  // any more is a mistake; the device's own limit is checked at the launch

}  // namespace

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
    const uint32_t threads = args.integer32(1, "threads", 1, kMostThreads),
                   sharedBytes = args.integer32(2, "sharedBytes", 0, kMostSharedBytes);
    return number(on->occupancy(*kernel, threads, sharedBytes));
}

Napi::Value Addon::launch(Args args) {
    auto& [on, kernel] = kernels_.get(args.handle(0));
    const LaunchShape shape{args.integer32(1, "grid", 1, kMostGrid), args.integer32(2, "threads", 1, kMostThreads),
                            args.integer32(3, "sharedBytes", 0, kMostSharedBytes), args.flag(5, "programmatic")};
    on->launch(*kernel, shape, args.bytes(4, "params"));
    return nothing();
}

}  // namespace moa
