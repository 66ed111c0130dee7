// What can go wrong, as C++ exceptions. `node/addon.cpp` turns each into its JavaScript error; nothing else does.
#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace moa {

/// One finding of the emulator, with the memory it need not share with the launch that made it.
struct FindingText {
    std::string kind;
    std::string message;
};

/// Something failed while running: an `Error` with `code`.
class Failure : public std::runtime_error {
public:
    Failure(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
    Failure(std::string code, const std::string& message, std::vector<FindingText> findings)
        : std::runtime_error(message), code_(std::move(code)), findings_(std::move(findings)) {}

    const std::string& code() const { return code_; }
    const std::vector<FindingText>& findings() const { return findings_; }

private:
    std::string code_;
    std::vector<FindingText> findings_;
};

/// The caller passed a value of the wrong kind or a handle that names nothing: a `TypeError`.
class Misuse : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The caller passed a number outside its range: a `RangeError` with code `MOA_OUT_OF_RANGE`.
class OutOfRange : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace moa
