// The element types of the cache: tags whose storage is uint16_t.
#pragma once
#include <cstdint>

namespace moa {

/// IEEE binary16.
struct Half {};
/// bfloat16: the upper half of a binary32.
struct Bfloat16 {};

}  // namespace moa
