// Arrays that lie in shared memory or in global memory, known only when the kernel runs (PTX generic addresses).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// An array of T in global memory or in the block's shared memory. Accesses are checked as those of either memory are.
template <class T>
class AnyArray {
public:
    static MOA_PRIMITIVE AnyArray ofGlobal(T* first) { return AnyArray(first, 0); }
    static MOA_PRIMITIVE AnyArray ofShared(SharedAddress first) { return AnyArray(nullptr, first); }

    MOA_PRIMITIVE T load(int index, emulator::Site site = emulator::Site::current()) const {
        return global_ != nullptr ? loadGlobal(global_ + index, site) : loadShared<T>(at(index), site);
    }
    MOA_PRIMITIVE void store(int index, const T& value, emulator::Site site = emulator::Site::current()) const {
        if (global_ != nullptr)
            storeGlobal(global_ + index, value, site);
        else
            storeShared(at(index), value, site);
    }

private:
    MOA_PRIMITIVE AnyArray(T* global, SharedAddress shared) : global_(global), shared_(shared) {}
    MOA_PRIMITIVE SharedAddress at(int index) const { return shared_ + static_cast<SharedAddress>(index) * sizeof(T); }

    T* global_;  // null: in shared memory
    SharedAddress shared_;
};

}  // namespace moa
