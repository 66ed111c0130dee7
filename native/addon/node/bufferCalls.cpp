// Buffers.
// Each function checks its arguments, finds its objects and calls the backend; src/runtime/native.ts says what it promises.
#include "addon/node/addon.h"

#include <cstring>

namespace moa {
namespace {

// Kernels name an element by 32-bit coordinates. With a bound on both, no product of them overflows.
constexpr uint64_t kMostRows = 0xFFFFFFFF;
constexpr uint64_t kMostColumns = 0x7FFFFFC0;
constexpr uint32_t kMostBoxRows = 256;
constexpr uint64_t kMatrixAlignment = 16;

/// Whether `[offset, offset + bytes)` lies in a buffer, without overflow.
void checkRange(const char* call, const Memory& memory, uint64_t offset, uint64_t bytes) {
    if (offset <= memory.bytes && bytes <= memory.bytes - offset) return;
    throw OutOfRange(std::string(call) + ": " + std::to_string(bytes) + " bytes from byte " + std::to_string(offset) +
                     " on are asked for, the buffer has " + std::to_string(memory.bytes));
}

}  // namespace

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
    const uint64_t toOffset = args.byteCount(1, "toOffset"), fromOffset = args.byteCount(3, "fromOffset"),
                   bytes = args.byteCount(4, "bytes");
    if (on != fromDevice) throw Misuse("copy: the buffers belong to different devices");
    checkRange("copy", *to, toOffset, bytes);
    checkRange("copy", *from, fromOffset, bytes);
    on->refuseWhileCapturing("copy");
    if (bytes != 0) on->copy(*to, toOffset, *from, fromOffset, bytes);
    return nothing();
}

Napi::Value Addon::tensorMap(Args args) {
    auto& [on, memory] = buffers_.get(args.handle(0));
    const uint64_t offset = args.byteCount(1, "offset");
    const Matrix matrix{memory->address + offset, args.integer(2, "rows", 1, kMostRows), args.integer(3, "columns", kBoxColumns, kMostColumns),
                        args.integer32(4, "boxRows", 1, kMostBoxRows)};
    if (matrix.columns % kBoxColumns != 0)
        throw OutOfRange("tensorMap: columns must be a multiple of " + std::to_string(kBoxColumns) + ", got " + std::to_string(matrix.columns));
    if (matrix.address % kMatrixAlignment != 0)
        throw OutOfRange("tensorMap: the matrix must begin at a multiple of " + std::to_string(kMatrixAlignment) +
                         " bytes, got offset " + std::to_string(offset));
    checkRange("tensorMap", *memory, offset, matrix.bytes());
    const TensorMap map = on->tensorMap(matrix);
    Napi::Uint8Array result = Napi::Uint8Array::New(env_, map.size());
    std::memcpy(result.Data(), map.data(), map.size());
    return result;
}

}  // namespace moa
