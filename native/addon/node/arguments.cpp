#include "addon/node/arguments.h"

#include <cmath>

namespace moa {

void Arguments::misuse(const char* name, const std::string& expected) const {
    throw Misuse(std::string(function_) + ": " + name + " must be " + expected);
}

uint64_t Arguments::handle(size_t i) const {
    const Napi::Value value = at(i);
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= static_cast<double>(kMaxSafeInteger) && std::floor(number) == number))
        throw Misuse(std::string(function_) + ": expected a handle, got something else");
    return static_cast<uint64_t>(number);
}

uint64_t Arguments::integerOf(const Napi::Value& value, const char* name, uint64_t least, uint64_t most) const {
    if (!value.IsNumber()) misuse(name, "a number");
    const double number = value.As<Napi::Number>().DoubleValue();
    // NaN fails the first comparison.
    if (!(number >= static_cast<double>(least) && number <= static_cast<double>(most)) || std::floor(number) != number)
        throw OutOfRange(std::string(function_) + ": " + name + " must be an integer from " + std::to_string(least) + " to " +
                         std::to_string(most) + ", got " + value.ToString().Utf8Value());
    return static_cast<uint64_t>(number);
}

uint64_t Arguments::integer(size_t i, const char* name, uint64_t least, uint64_t most) const {
    return integerOf(at(i), name, least, most);
}

uint32_t Arguments::integer32(size_t i, const char* name, uint32_t least, uint32_t most) const {
    return static_cast<uint32_t>(integer(i, name, least, most));
}

Bytes Arguments::bytes(size_t i, const char* name) const {
    const Napi::Value value = at(i);
    const Napi::Env env = info_.Env();
    napi_typedarray_type type;
    size_t length = 0, offset = 0;
    void* data = nullptr;
    napi_value arrayBuffer = nullptr;
    if (!value.IsTypedArray() || napi_get_typedarray_info(env, value, &type, &length, &data, &arrayBuffer, &offset) != napi_ok ||
        type != napi_uint8_array)
        misuse(name, "a Uint8Array");
    bool isArrayBuffer = false, detached = false;
    if (napi_is_arraybuffer(env, arrayBuffer, &isArrayBuffer) != napi_ok || !isArrayBuffer)
        misuse(name, "over an ArrayBuffer: shared memory can change during the copy");
    if (napi_is_detached_arraybuffer(env, arrayBuffer, &detached) != napi_ok || detached)
        misuse(name, "over live memory: its ArrayBuffer was detached");
    return {static_cast<uint8_t*>(data), length};
}

std::string Arguments::text(size_t i, const char* name) const {
    const Napi::Value value = at(i);
    if (!value.IsString()) misuse(name, "a string");
    std::string result = value.As<Napi::String>().Utf8Value();
    if (result.empty() || result.find('\0') != std::string::npos)
        misuse(name, "a string that is not empty and has no NUL character");
    return result;
}

bool Arguments::flag(size_t i, const char* name) const {
    const Napi::Value value = at(i);
    if (!value.IsUndefined() && !value.IsBoolean()) misuse(name, "a boolean");
    return value.IsBoolean() && value.As<Napi::Boolean>().Value();
}

uint64_t Arguments::seedOf(const Napi::Value& value, const char* name) const {
    if (!value.IsBigInt()) misuse(name, "a bigint");
    bool lossless = false;
    const uint64_t result = value.As<Napi::BigInt>().Uint64Value(&lossless);
    if (!lossless) throw OutOfRange(std::string(function_) + ": " + name + " must be from 0 to 2^64 - 1");
    return result;
}

}  // namespace moa
