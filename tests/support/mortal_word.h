// An atomic word for the templates of client_lib/shm, whose user dies at the n-th operation on any
// of them: before it happens, so that what the word holds is what a killed process leaves.
//
//     for (int fatal = 0; Mortality::survives(fatal, [&] { ring.try_push(1); }) == false; ++fatal)
//       ... look at what was left ...

#ifndef SLOTRING_TESTS_SUPPORT_MORTAL_WORD_H_
#define SLOTRING_TESTS_SUPPORT_MORTAL_WORD_H_

#include <atomic>
#include <cstdint>

namespace slotring::testing {

class Mortality {
 public:
  // Runs `body`, which dies at its operation number `fatal` (from 0). False when it died.
  template <class Body>
  static bool survives(int fatal, Body body) {
    left_ = fatal;
    try {
      body();
    } catch (const Death&) {
      left_ = -1;
      return false;
    }
    left_ = -1;
    return true;
  }

  static void count_operation() {
    if (left_ == 0) throw Death{};
    if (left_ > 0) --left_;
  }

 private:
  struct Death {};
  static inline thread_local int left_ = -1;  // -1: lives on
};

class MortalWord {
 public:
  std::uint64_t load(std::memory_order order) const {
    Mortality::count_operation();
    return word_.load(order);
  }
  void store(std::uint64_t value, std::memory_order order) {
    Mortality::count_operation();
    word_.store(value, order);
  }
  bool compare_exchange_strong(std::uint64_t& expected, std::uint64_t desired,
                               std::memory_order success, std::memory_order failure) {
    Mortality::count_operation();
    return word_.compare_exchange_strong(expected, desired, success, failure);
  }

 private:
  std::atomic<std::uint64_t> word_{0};
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_MORTAL_WORD_H_
