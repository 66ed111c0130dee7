// What a CUresult means to the user.
#pragma once
#include <string>

#include "addon/cuda/driver.h"

namespace moa::cuda {

/// `CUDA_ERROR_INVALID_IMAGE`.
std::string errorName(const Driver& driver, CUresult result);

/// `cuMemAlloc failed: CUDA_ERROR_OUT_OF_MEMORY (2): out of memory. <details>. <what to do>`
std::string errorText(const Driver& driver, CUresult result, const std::string& call, const std::string& details = "");

/// Whether the context is broken for good: every later call in the process fails with the same error.
bool isSticky(CUresult result);

}  // namespace moa::cuda
