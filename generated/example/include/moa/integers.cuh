// Integer helpers that mean the same on host and device.
#pragma once
#include <cstdint>
#include <moa/primitives/kernel.cuh>

namespace moa {

MOA_DEVICE constexpr int minimum(int a, int b) { return a < b ? a : b; }
MOA_DEVICE constexpr int maximum(int a, int b) { return a > b ? a : b; }
/// a / b rounded up; a >= 0, b > 0.
MOA_DEVICE constexpr int ceilDivide(int a, int b) { return (a + b - 1) / b; }

}  // namespace moa
