// A libcuda on host memory, for tests of the CUDA path without a GPU. Work on a stream is put off until something waits for it, so
// a missing synchronisation is a wrong result or an error here, every time.
//
// Beside the library lies `control.txt`, read at every call: lines of `name number`. A driver function's name makes that function
// fail with the number; `version`, `devices`, `memory`, `computeMajor`, `computeMinor` and `sharedBytes` say what the driver claims. Every call is logged in `calls.log`.
//
// An image is an ELF header whose flags (byte 48) are the compute capability; every image has the kernels below, and with `anyKernel 1`
// one that does nothing under every other name, whatever its parameters are (for a driver without cuFuncGetParamInfo).
#include <dlfcn.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace {

std::recursive_mutex lock;

std::string folder() {
    Dl_info info;
    dladdr(reinterpret_cast<void*>(&folder), &info);
    const std::string path = info.dli_fname;
    return path.substr(0, path.rfind('/') + 1);
}

long long control(const std::string& name, long long otherwise) {
    FILE* file = std::fopen((folder() + "control.txt").c_str(), "r");
    if (!file) return otherwise;
    char key[128];
    long long value;
    while (std::fscanf(file, "%127s %lld", key, &value) == 2)
        if (name == key) otherwise = value;
    std::fclose(file);
    return otherwise;
}

struct Stream {
    std::vector<std::function<void()>> waiting;
    std::vector<std::function<void()>>* capture = nullptr;
};
struct Graph { std::vector<std::function<void()>> work; };
struct Event { bool reached = false; Stream* stream = nullptr; std::chrono::steady_clock::time_point at; };
using EventHandle = std::shared_ptr<Event>;  // a pending event outlives its handle
struct Kernel { std::string name; size_t paramBytes; int dynamicShared = 49152; };
struct Module { std::map<std::string, Kernel> kernels; };

std::map<uint64_t, size_t> memory;  // live allocations
size_t used = 0;
int sticky = 0;
int contexts = 0;
thread_local int current = 0;  // depth of the context stack

int enter(const char* name, bool needsContext = true) {
    FILE* log = std::fopen((folder() + "calls.log").c_str(), "a");
    if (log) {
        std::fprintf(log, "%s\n", name);
        std::fclose(log);
    }
    if (const int injected = static_cast<int>(control(name, 0))) return injected;
    if (!needsContext) return 0;
    if (sticky) return sticky;
    return current > 0 ? 0 : 201;  // CUDA_ERROR_INVALID_CONTEXT
}

bool lives(uint64_t address, size_t bytes) {
    auto next = memory.upper_bound(address);
    if (next == memory.begin()) return false;
    const auto& [base, size] = *--next;
    return address + bytes <= base + size;
}

int add(Stream* stream, std::function<void()> work) {
    (stream->capture ? *stream->capture : stream->waiting).push_back(std::move(work));
    return 0;
}

void drain(Stream* stream) {
    auto work = std::move(stream->waiting);
    stream->waiting.clear();
    for (auto& one : work)
        if (!sticky) one();
}

void runKernel(const std::string& name, const std::vector<uint8_t>& params) {
    uint64_t to = 0;
    std::memcpy(&to, params.data(), 8);
    if (name == "trap") sticky = 700;
    if (name == "fill") {
        uint32_t count, value;
        std::memcpy(&count, params.data() + 8, 4);
        std::memcpy(&value, params.data() + 12, 4);
        if (!lives(to, size_t{4} * count)) { sticky = 700; return; }
        for (uint32_t i = 0; i < count; i += 1) reinterpret_cast<uint32_t*>(to)[i] += value;
    }
    if (name == "echo") {
        if (!lives(to, params.size())) { sticky = 700; return; }
        std::memcpy(reinterpret_cast<void*>(to), params.data(), params.size());
    }
}

}  // namespace

#define ENTER(...) std::lock_guard guard(lock); if (const int failed = enter(__VA_ARGS__)) return failed

API cuInit(unsigned) { ENTER("cuInit", false); return 0; }
API cuDriverGetVersion(int* v) { ENTER("cuDriverGetVersion", false); *v = static_cast<int>(control("version", 12080)); return 0; }
API cuGetErrorName(int e, const char** text) {
    static const std::map<int, const char*> names = {{1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"}, {100, "CUDA_ERROR_NO_DEVICE"},
        {200, "CUDA_ERROR_INVALID_IMAGE"}, {201, "CUDA_ERROR_INVALID_CONTEXT"}, {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"}, {500, "CUDA_ERROR_NOT_FOUND"},
        {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {719, "CUDA_ERROR_LAUNCH_FAILED"}, {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"}, {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    const auto found = names.find(e);
    if (found == names.end()) return 1;
    *text = found->second;
    return 0;
}
API cuGetErrorString(int e, const char** text) { *text = e == 2 ? "out of memory" : "an error of the fake driver"; return 0; }
API cuDeviceGetCount(int* n) { ENTER("cuDeviceGetCount", false); *n = static_cast<int>(control("devices", 2)); return 0; }
API cuDeviceGet(int* device, int ordinal) { ENTER("cuDeviceGet", false); *device = ordinal; return 0; }
API cuDeviceGetName(char* name, int length, int) { ENTER("cuDeviceGetName", false); std::snprintf(name, static_cast<size_t>(length), "Fake GPU"); return 0; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { ENTER("cuDeviceTotalMem", false); *bytes = size_t{6} << 30; return 0; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    ENTER("cuDeviceGetAttribute", false);
    *value = attribute == 16 ? 132 : attribute == 38 ? 50 << 20 : attribute == 75 ? static_cast<int>(control("computeMajor", 9)) : attribute == 76 ? static_cast<int>(control("computeMinor", 0)) : attribute == 97 ? static_cast<int>(control("sharedBytes", 232448)) : -1;
    return 0;
}
API cuDevicePrimaryCtxRetain(void** context, int) { ENTER("cuDevicePrimaryCtxRetain", false); contexts += 1; *context = &contexts; return 0; }
API cuDevicePrimaryCtxRelease_v2(int) { ENTER("cuDevicePrimaryCtxRelease", false); if (--contexts == 0) sticky = 0; return 0; }
API cuCtxPushCurrent_v2(void* context) { ENTER("cuCtxPushCurrent", false); if (context != &contexts) return 201; current += 1; return 0; }
API cuCtxPopCurrent_v2(void**) { ENTER("cuCtxPopCurrent", false); if (current == 0) return 201; current -= 1; return 0; }
API cuStreamCreate(void** stream, unsigned flags) { ENTER("cuStreamCreate"); if (flags != 1) return 1; *stream = new Stream; return 0; }
API cuStreamDestroy_v2(void* stream) { ENTER("cuStreamDestroy"); delete static_cast<Stream*>(stream); return 0; }
API cuStreamSynchronize(void* stream) {
    ENTER("cuStreamSynchronize");
    auto* s = static_cast<Stream*>(stream);
    if (s->capture) return 900;
    drain(s);
    return sticky;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER("cuMemGetInfo");
    *total = static_cast<size_t>(control("memory", 64 << 20));
    *free = *total - used;
    return 0;
}
API cuMemAlloc_v2(unsigned long long* pointer, size_t bytes) {
    ENTER("cuMemAlloc");
    if (bytes == 0) return 1;
    if (used + bytes > static_cast<size_t>(control("memory", 64 << 20))) return 2;
    *pointer = reinterpret_cast<uint64_t>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
    std::memset(reinterpret_cast<void*>(*pointer), 0xCD, bytes);
    memory[*pointer] = bytes;
    used += bytes;
    return 0;
}
API cuMemFree_v2(unsigned long long pointer) {
    ENTER("cuMemFree");
    const auto found = memory.find(pointer);
    if (found == memory.end()) return 1;
    used -= found->second;
    memory.erase(found);
    std::free(reinterpret_cast<void*>(pointer));
    return 0;
}
API cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, size_t bytes, void* stream) {
    ENTER("cuMemcpyHtoDAsync");
    if (!lives(to, bytes)) return 1;
    // Read when the stream comes to it: of pageable memory, the driver does not say when.
    return add(static_cast<Stream*>(stream), [=] { std::memcpy(reinterpret_cast<void*>(to), from, bytes); });
}
API cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, size_t bytes, void* stream) {
    ENTER("cuMemcpyDtoHAsync");
    if (!lives(from, bytes)) return 1;
    return add(static_cast<Stream*>(stream), [=] { std::memcpy(to, reinterpret_cast<void*>(from), bytes); });
}
API cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t bytes, void* stream) {
    ENTER("cuMemcpyDtoDAsync");
    if (!lives(to, bytes) || !lives(from, bytes)) return 1;
    return add(static_cast<Stream*>(stream), [=] { std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); });
}
API cuMemsetD8Async(unsigned long long to, unsigned char value, size_t bytes, void* stream) {
    ENTER("cuMemsetD8Async");
    if (!lives(to, bytes)) return 1;
    return add(static_cast<Stream*>(stream), [=] { std::memset(reinterpret_cast<void*>(to), value, bytes); });
}
API cuModuleLoadDataEx(void** module, const void* image, unsigned options, int* names, void** values) {
    ENTER("cuModuleLoadDataEx");
    uint32_t capability;
    std::memcpy(&capability, static_cast<const char*>(image) + 48, 4);
    if (capability != 90) {
        for (unsigned i = 0; i + 1 < options; i += 1)
            if (names[i] == 5) std::snprintf(static_cast<char*>(values[i]), reinterpret_cast<uintptr_t>(values[i + 1]), "no code for this device");
        return 209;
    }
    *module = new Module{{{"fill", {"fill", 16}}, {"echo", {"echo", 64}}, {"echoMaps", {"echo", 640}}, {"trap", {"trap", 8}}}};
    return 0;
}
API cuModuleUnload(void* module) { ENTER("cuModuleUnload"); delete static_cast<Module*>(module); return 0; }
API cuModuleGetFunction(void** function, void* module, const char* name) {
    ENTER("cuModuleGetFunction");
    auto& kernels = static_cast<Module*>(module)->kernels;
    if (control("anyKernel", 0)) kernels.try_emplace(name, Kernel{"idle", 8});
    const auto found = kernels.find(name);
    if (found == kernels.end()) return 500;
    *function = &found->second;
    return 0;
}
API cuFuncGetAttribute(int* value, int attribute, void*) {
    ENTER("cuFuncGetAttribute");
    *value = attribute == 0 ? 1024 : attribute == 1 ? 128 : attribute == 3 ? 0 : attribute == 4 ? 96 : -1;
    return 0;
}
API cuFuncSetAttribute(void* function, int attribute, int value) {
    ENTER("cuFuncSetAttribute");
    if (attribute != 8) return 1;
    static_cast<Kernel*>(function)->dynamicShared = value;
    return 0;
}
#ifndef OLD_DRIVER
API cuFuncGetParamInfo(void* function, size_t index, size_t* offset, size_t* bytes) {
    ENTER("cuFuncGetParamInfo");
    if (index > 0) return 1;
    *offset = 0;
    *bytes = static_cast<Kernel*>(function)->paramBytes;
    return 0;
}
#endif
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads, size_t shared) {
    ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessor");
    *blocks = shared > static_cast<size_t>(static_cast<Kernel*>(function)->dynamicShared) ? 0 : 2048 / threads;
    return 0;
}
static int launchKernel(void* function, const unsigned* grid, const unsigned* block, unsigned shared, void* stream, void** params, void** extra) {
    const auto& kernel = *static_cast<Kernel*>(function);
    if (grid[0] == 0 || grid[1] != 1 || grid[2] != 1 || block[0] == 0 || block[1] != 1 || block[2] != 1) return 1;
    if (extra || shared > static_cast<unsigned>(kernel.dynamicShared)) return 1;
    const auto* bytes = static_cast<const uint8_t*>(params[0]);
    if (reinterpret_cast<uintptr_t>(bytes) % 64 != 0) return 1;  // stricter than a driver
    return add(static_cast<Stream*>(stream), [name = kernel.name, copy = std::vector<uint8_t>(bytes, bytes + kernel.paramBytes)] { runKernel(name, copy); });
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream, void** params, void** extra) {
    ENTER("cuLaunchKernel");
    const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
    return launchKernel(function, grid, block, shared, stream, params, extra);
}
#ifndef OLD_DRIVER
API cuLaunchKernelEx(const void* config, void* function, void** params, void** extra) {
    ENTER("cuLaunchKernelEx");
    struct { unsigned grid[3], block[3], shared; void* stream; const int* attributes; unsigned count; } c;
    std::memcpy(&c, config, sizeof c);
    // One attribute: its id, padding, its value.
    if (c.count != 1 || c.attributes[0] != 6 || c.attributes[2] != 1) return 1;
    if (control("computeMajor", 9) < 9) return 1;
    return launchKernel(function, c.grid, c.block, c.shared, c.stream, params, extra);
}
#endif
#ifndef OLD_DRIVER
// The map is the arguments, each as 8 bytes.
API cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* address, const uint64_t* dimensions, const uint64_t* strides, const uint32_t* box,
                           const uint32_t* elementStrides, int interleave, int swizzle, int l2Promotion, int fill) {
    ENTER("cuTensorMapEncodeTiled");
    if (reinterpret_cast<uintptr_t>(map) % 64 != 0 || rank != 2) return 1;
    const auto number = [](int value) { return static_cast<uint64_t>(value); };
    const uint64_t words[16] = {number(type), reinterpret_cast<uint64_t>(address), dimensions[0], dimensions[1], strides[0], box[0], box[1], elementStrides[0],
                                elementStrides[1], number(interleave), number(swizzle), number(l2Promotion), number(fill)};
    std::memcpy(map, words, sizeof words);
    return 0;
}
#endif
API cuStreamBeginCapture_v2(void* stream, int mode) {
    ENTER("cuStreamBeginCapture");
    if (mode != 2) return 1;
    static_cast<Stream*>(stream)->capture = new std::vector<std::function<void()>>;
    return 0;
}
API cuStreamEndCapture(void* stream, void** graph) {
    ENTER("cuStreamEndCapture");
    auto* s = static_cast<Stream*>(stream);
    if (!s->capture) return 1;
    *graph = new Graph{*s->capture};
    delete s->capture;
    s->capture = nullptr;
    return 0;
}
API cuGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long) { ENTER("cuGraphInstantiateWithFlags"); *exec = new Graph(*static_cast<Graph*>(graph)); return 0; }
API cuGraphLaunch(void* exec, void* stream) {
    ENTER("cuGraphLaunch");
    for (const auto& one : static_cast<Graph*>(exec)->work) add(static_cast<Stream*>(stream), one);
    return 0;
}
API cuGraphExecDestroy(void* exec) { ENTER("cuGraphExecDestroy"); delete static_cast<Graph*>(exec); return 0; }
API cuGraphDestroy(void* graph) { ENTER("cuGraphDestroy"); delete static_cast<Graph*>(graph); return 0; }
Event& eventOf(void* handle) { return **static_cast<EventHandle*>(handle); }
API cuEventCreate(void** event, unsigned) { ENTER("cuEventCreate"); *event = new EventHandle(std::make_shared<Event>()); return 0; }
API cuEventRecord(void* handle, void* stream) {
    ENTER("cuEventRecord");
    const EventHandle event = *static_cast<EventHandle*>(handle);
    event->reached = false;
    event->stream = static_cast<Stream*>(stream);
    return add(event->stream, [event] {
        event->reached = true;
        event->at = std::chrono::steady_clock::now();
    });
}
API cuEventQuery(void* event) { ENTER("cuEventQuery"); return sticky != 0 ? sticky : eventOf(event).reached ? 0 : 600; }
API cuEventSynchronize(void* event) {
    ENTER("cuEventSynchronize");
    drain(eventOf(event).stream);
    return sticky != 0 ? sticky : eventOf(event).reached ? 0 : 600;
}
API cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    ENTER("cuEventElapsedTime");
    if (!eventOf(from).reached || !eventOf(to).reached) return 600;
    *milliseconds = std::chrono::duration<float, std::milli>(eventOf(to).at - eventOf(from).at).count();
    return 0;
}
API cuEventDestroy_v2(void* event) { ENTER("cuEventDestroy"); delete static_cast<EventHandle*>(event); return 0; }
