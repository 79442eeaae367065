// An atomic of relacy in std::atomic's place, for the templates of client_lib/shm.
//
// Relacy runs a test's threads in many interleavings, and lets each load read any value that the
// C++ memory model allows it, not only the newest. It reports data races on rl::var, failed
// RL_ASSERTs, deadlocks and livelocks.
//
// A policy changes the orders that the product asks for: AsWritten is the product; the others are
// canaries, mistakes that a test must find, or it proves nothing.

#ifndef SLOTRING_TESTS_MODELS_RELACY_MODEL_ATOMIC_H_
#define SLOTRING_TESTS_MODELS_RELACY_MODEL_ATOMIC_H_

#include <atomic>
#include <cstdint>

#include <relacy/relacy.hpp>

// It defines words of the language and of the library as macros of its own.
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno

namespace slotring::models {

struct AsWritten {
  static constexpr std::memory_order of(std::memory_order order) { return order; }
};
// Nothing is published.
struct AllRelaxed {
  static constexpr std::memory_order of(std::memory_order) { return std::memory_order_relaxed; }
};
// A store and a load after it may pass each other, as on x86 without a fence.
struct NoTotalOrder {
  static constexpr std::memory_order of(std::memory_order order) {
    return order == std::memory_order_seq_cst ? std::memory_order_acq_rel : order;
  }
};

template <class T, class Policy>
class ModelAtomic {
 public:
  T load(std::memory_order order) const { return value_($).load(as_load(Policy::of(order))); }
  void store(T value, std::memory_order order) {
    value_($).store(value, as_store(Policy::of(order)));
  }
  T exchange(T value, std::memory_order order) {
    return value_($).exchange(value, as_rmw(Policy::of(order)));
  }
  T fetch_or(T value, std::memory_order order) {
    return value_($).fetch_or(value, as_rmw(Policy::of(order)));
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) {
    return value_($).compare_exchange_strong(expected, desired, as_rmw(Policy::of(success)),
                                             as_load(Policy::of(failure)));
  }

 private:
  static rl::memory_order as_rmw(std::memory_order order) {
    switch (order) {
      case std::memory_order_relaxed:
        return rl::mo_relaxed;
      case std::memory_order_consume:
      case std::memory_order_acquire:
        return rl::mo_acquire;
      case std::memory_order_release:
        return rl::mo_release;
      case std::memory_order_acq_rel:
        return rl::mo_acq_rel;
      case std::memory_order_seq_cst:
        return rl::mo_seq_cst;
    }
    return rl::mo_seq_cst;
  }
  static rl::memory_order as_load(std::memory_order order) {
    return order == std::memory_order_acq_rel ? rl::mo_acquire : as_rmw(order);
  }
  static rl::memory_order as_store(std::memory_order order) {
    return order == std::memory_order_acq_rel ? rl::mo_release : as_rmw(order);
  }

  rl::atomic<T> value_;
};

// futex_wait() and futex_wake() as the kernel does them: comparing and going to sleep are one step
// under a lock that the waker takes too. A thread that nobody wakes is a deadlock, which relacy
// reports.
class ModelFutex {
 public:
  template <class Atomic, class T>
  void wait(const Atomic& word, T expected) {
    mutex_.lock($);
    if (word.load(std::memory_order_seq_cst) == expected) sleepers_.wait(mutex_, $);
    mutex_.unlock($);
  }
  void wake() {
    mutex_.lock($);
    sleepers_.notify_all($);
    mutex_.unlock($);
  }

 private:
  rl::mutex mutex_;
  rl::condition_variable_any sleepers_;
};

}  // namespace slotring::models

#endif  // SLOTRING_TESTS_MODELS_RELACY_MODEL_ATOMIC_H_
