// A fuzzer's bytes as numbers, from the front; zeros when they are used up.

#ifndef SLOTRING_TESTS_FUZZ_INPUT_READER_H_
#define SLOTRING_TESTS_FUZZ_INPUT_READER_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

namespace slotring::fuzz {

class InputReader {
 public:
  InputReader(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }

  template <class Number>
  Number next() {
    Number number{};
    const std::span<const std::uint8_t> bytes = next_bytes(sizeof(number));
    if (!bytes.empty()) std::memcpy(&number, bytes.data(), bytes.size());
    return number;
  }
  // From 0 to `bound` - 1; one byte of input, or two.
  std::uint32_t below(std::uint32_t bound) {
    return bound <= 256 ? next<std::uint8_t>() % bound : next<std::uint16_t>() % bound;
  }
  // At most so many.
  std::span<const std::uint8_t> next_bytes(std::size_t most) {
    const auto bytes = rest_.first(std::min(most, rest_.size()));
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace slotring::fuzz

#endif  // SLOTRING_TESTS_FUZZ_INPUT_READER_H_
