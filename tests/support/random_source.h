// Random numbers for tests that can be repeated: the seed is printed, and SLOTRING_TEST_SEED sets
// it.

#ifndef SLOTRING_TESTS_SUPPORT_RANDOM_SOURCE_H_
#define SLOTRING_TESTS_SUPPORT_RANDOM_SOURCE_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace slotring::testing {

inline std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* given = std::getenv("SLOTRING_TEST_SEED");
    const std::uint64_t chosen =
        given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
    std::printf("repeat with: SLOTRING_TEST_SEED=%llu\n", static_cast<unsigned long long>(chosen));
    std::fflush(stdout);
    return chosen;
  }();
  return seed;
}

class RandomSource {
 public:
  // Sources with different `stream`s (threads, processes) give different numbers.
  explicit RandomSource(std::uint64_t stream = 0) : engine_(test_seed() * 1'000'003 + stream) {}

  std::uint64_t word() { return engine_(); }
  // From 0 to `bound` - 1.
  std::uint32_t below(std::uint64_t bound) { return static_cast<std::uint32_t>(engine_() % bound); }
  bool one_in(std::uint32_t chances) { return below(chances) == 0; }

 private:
  std::mt19937_64 engine_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_RANDOM_SOURCE_H_
