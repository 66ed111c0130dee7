// A growing array of plain data that keeps its storage when it is cleared.
#pragma once
#include <cstdlib>
#include <type_traits>

#include <moa/emulator/config.hpp>

namespace moa::emulator {

template <class T>
class MOA_HIDDEN List {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    List() = default;
    List(const List&) = delete;
    List& operator=(const List&) = delete;
    ~List() { std::free(data_); }

    uint32_t size() const { return size_; }
    T& operator[](uint32_t index) { return data_[index]; }
    void clear() { size_ = 0; }

    MOA_PRIMITIVE void push(const T& value) {
        if (size_ == capacity_) [[unlikely]]
            grow(capacity_ == 0 ? 16 : capacity_ * 2);
        data_[size_++] = value;
    }

    /// Makes `size` elements of unspecified value.
    void resize(uint32_t size) {
        if (size > capacity_) grow(size);
        size_ = size;
    }

private:
    MOA_ENGINE_COLD void grow(uint32_t capacity) {
        void* const data = std::realloc(static_cast<void*>(data_), sizeof(T) * capacity);
        if (data == nullptr) std::abort();
        data_ = static_cast<T*>(data);
        capacity_ = capacity;
    }

    T* data_ = nullptr;
    uint32_t size_ = 0;
    uint32_t capacity_ = 0;
};

}  // namespace moa::emulator
