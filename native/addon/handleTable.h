// Objects that JavaScript names by number. A handle is, from the low bits up,
//
//     index 20 | kind 3 | instance 10 | generation 20        = 53 bits, so a JavaScript number holds it exactly
//
// The generation changes when a slot is freed, so a stale handle never names the slot's next object. The instance tells threads
// apart: each worker has its own tables. A slot whose generations are used up is retired.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addon/failure.h"

namespace moa {

enum class HandleKind : uint8_t { device = 1, buffer, module, kernel, graph, event };

inline const char* nameOf(HandleKind kind) {
    static constexpr const char* names[] = {"unknown", "device", "buffer", "module", "kernel", "graph", "event", "unknown"};
    return names[static_cast<uint8_t>(kind) & 7];
}

template <typename T>
class HandleTable {
public:
    HandleTable(HandleKind kind, uint32_t instance) : kind_(kind), instance_(instance & kInstanceMask) {}

    uint64_t add(T object) {
        uint32_t index;
        if (!free_.empty()) {
            index = free_.back();
            free_.pop_back();
        } else {
            if (slots_.size() > kIndexMask)
                throw Failure("MOA_TOO_MANY_OBJECTS", std::string("too many live ") + nameOf(kind_) + "s");
            index = static_cast<uint32_t>(slots_.size());
            slots_.emplace_back();
        }
        slots_[index].object.emplace(std::move(object));
        return handleOf(index);
    }

    T& get(uint64_t handle) {
        Slot& slot = slots_[checkedIndex(handle)];
        if (!slot.object || slot.generation != generationOf(handle))
            throw Misuse(std::string("this ") + nameOf(kind_) + " was already freed");
        return *slot.object;
    }

    /// Whether the handle names an object that existed and is freed now. Throws as `get` for what never was a handle.
    bool wasFreed(uint64_t handle) {
        const Slot& slot = slots_[checkedIndex(handle)];
        return !slot.object || slot.generation != generationOf(handle);
    }

    T remove(uint64_t handle) {
        T object = std::move(get(handle));
        retire(indexOf(handle));
        return object;
    }

    /// Frees every object for which `predicate` holds, newest slot first.
    template <typename Predicate>
    void removeIf(Predicate predicate) {
        for (size_t i = slots_.size(); i-- > 0;)
            if (slots_[i].object && predicate(*slots_[i].object)) retire(static_cast<uint32_t>(i));
    }

private:
    struct Slot {
        std::optional<T> object;
        uint32_t generation = 1;  // never 0, so no handle is a small number
    };
    static constexpr uint64_t kIndexMask = (1u << 20) - 1;
    static constexpr uint32_t kInstanceMask = (1u << 10) - 1;
    static constexpr uint32_t kLastGeneration = (1u << 20) - 1;

    static uint32_t indexOf(uint64_t handle) { return static_cast<uint32_t>(handle & kIndexMask); }
    static uint32_t generationOf(uint64_t handle) { return static_cast<uint32_t>(handle >> 33); }

    uint64_t handleOf(uint32_t index) const {
        return uint64_t{slots_[index].generation} << 33 | uint64_t{instance_} << 23 | uint64_t{static_cast<uint8_t>(kind_)} << 20 |
               index;
    }

    uint32_t checkedIndex(uint64_t handle) const {
        const auto kind = static_cast<HandleKind>(handle >> 20 & 7);
        const uint32_t generation = generationOf(handle);
        const std::string expected = std::string("expected a ") + nameOf(kind_) + " handle";
        if (generation == 0 || kind < HandleKind::device || kind > HandleKind::event)
            throw Misuse(expected + ", got a number that is no handle");
        if (kind != kind_) throw Misuse(expected + ", got a " + nameOf(kind) + " handle");
        if ((handle >> 23 & kInstanceMask) != instance_) throw Misuse(expected + " of this thread, got one of another thread");
        const uint32_t index = indexOf(handle);
        if (index >= slots_.size() || generation > slots_[index].generation)
            throw Misuse(expected + ", got a number that is no handle");
        return index;
    }

    void retire(uint32_t index) {
        // The slot is consistent before the object goes: a destructor that looks at the table sees it freed.
        std::optional<T> object = std::exchange(slots_[index].object, std::nullopt);
        if (slots_[index].generation == kLastGeneration) return;  // get() keeps refusing it: it is empty for ever
        slots_[index].generation += 1;
        free_.push_back(index);
    }

    HandleKind kind_;
    uint32_t instance_;
    std::vector<Slot> slots_;
    std::vector<uint32_t> free_;
};

}  // namespace moa
