// Arrays that lie in shared memory or in global memory, known only when the kernel runs (PTX generic addresses).
#pragma once
#include <moa/primitives/memory.cuh>

namespace moa {

/// An array of T in global memory or in the block's shared memory.
template <class T>
class AnyArray {
public:
    static MOA_DEVICE AnyArray ofGlobal(T* first) { return AnyArray(first); }
    static MOA_DEVICE AnyArray ofShared(SharedAddress first) { return AnyArray(sharedPointer<T>(first)); }

    MOA_DEVICE T load(int index) const { return first_[index]; }
    MOA_DEVICE void store(int index, const T& value) const { first_[index] = value; }

private:
    explicit MOA_DEVICE AnyArray(T* first) : first_(first) {}

    T* first_;
};

}  // namespace moa
