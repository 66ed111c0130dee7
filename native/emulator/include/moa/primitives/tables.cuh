// Constant arrays that device code reads at any index. Reads of them are not checked, and not counted.
#pragma once

/// Declares one at namespace scope: `MOA_TABLE int kNames[] = {...};`.
#define MOA_TABLE static constexpr
