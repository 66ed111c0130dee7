// Whether bytes can be a module at all.
#pragma once
#include <string>

#include "addon/device.h"

namespace moa::cuda {

/// Empty when `image` is a whole cubin (ELF) or fatbin, else what is wrong with it. The driver finds the end of an image by the
/// image's own headers, so a file that was cut short (a full disk does that) would make it read past the end of our memory.
std::string imageProblem(ConstBytes image);

}  // namespace moa::cuda
