// Constant arrays that device code reads at any index.
#pragma once

/// Declares one at namespace scope: `MOA_TABLE int kNames[] = {...};`. It lies in global memory: constant memory has no
/// space for those of large plans.
#define MOA_TABLE static __device__ const
