// Where one thread of a run, or one process, writes down what it asks of the pool and what it gets.
//
// An entry is counted before its operation begins, and gets its outcome (release) when it has
// returned; a process that is killed leaves what it knew. The log may lie in shared memory.
//
// The moments are CLOCK_MONOTONIC's, which orders nothing between threads, unlike a shared counter:
// the recorder must not order what the pool does not. The barrier after the first reading keeps the
// operation's loads behind it.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_RECORDER_H_
#define SLOTRING_TESTS_LINEARIZABILITY_RECORDER_H_

#include <array>
#include <atomic>
#include <cassert>
#include <cstdint>

#include "client_lib/shm/futex.h"
#include "tests/linearizability/operation.h"

namespace slotring::linearizability {

class Recorder {
 public:
  static constexpr std::uint32_t kMaxOperations = 64;

  // REQUIRES: nobody writes.
  void clear(std::uint16_t actor, std::uint16_t thread) {
    actor_ = actor;
    thread_ = thread;
    count_.store(0, std::memory_order_relaxed);
  }
  bool full() const { return count_.load(std::memory_order_relaxed) == kMaxOperations; }
  // Whether what may well be left out should be.
  bool nearly_full() const { return count_.load(std::memory_order_relaxed) > kMaxOperations / 2; }

  // Runs `perform(operation)`, which fills in what came back and returns the outcome.
  template <class Perform>
  Outcome record(Operation operation, Perform perform) {
    assert(!full());
    const std::uint32_t index = count_.load(std::memory_order_relaxed);
    Entry& entry = entries_[index];
    operation.actor = actor_;
    operation.thread = thread_;
    operation.called = shm::monotonic_now();
    entry.operation = operation;
    entry.outcome.store(Outcome::kNone, std::memory_order_relaxed);
    // Release: partner of append_to()'s acquire.
    count_.store(index + 1, std::memory_order_release);
    barrier_.fetch_add(1, std::memory_order_seq_cst);
    const Outcome outcome = perform(operation);
    barrier_.fetch_add(1, std::memory_order_seq_cst);
    operation.returned = shm::monotonic_now();
    entry.operation = operation;
    entry.outcome.store(outcome, std::memory_order_release);
    return outcome;
  }
  // The last operation had no effect, and is not worth keeping.
  void forget_last() { count_.fetch_sub(1, std::memory_order_relaxed); }

  // Adds what was recorded to `history`. Operations without outcome ended by `dead_since`.
  void append_to(History& history, std::uint64_t dead_since = kEnd) const {
    const std::uint32_t count = count_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < count; ++i) {
      Operation operation = entries_[i].operation;
      operation.outcome = entries_[i].outcome.load(std::memory_order_acquire);
      if (!operation.has_outcome()) {
        operation = entries_[i].operation;
        operation.outcome = Outcome::kNone;
        operation.returned = dead_since;
      }
      history.push_back(operation);
    }
  }

 private:
  struct Entry {
    Operation operation;
    std::atomic<Outcome> outcome{Outcome::kNone};
  };

  std::uint16_t actor_ = 0;
  std::uint16_t thread_ = 0;
  std::atomic<std::uint32_t> count_{0};
  std::atomic<std::uint32_t> barrier_{0};  // this log's own: it orders its one writer alone
  std::array<Entry, kMaxOperations> entries_{};
};

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_RECORDER_H_
