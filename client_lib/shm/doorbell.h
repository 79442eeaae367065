// How a worker learns that one of its slots has a request, in one 32-bit word:
//
//    31      30          29                          0
//   +-------+-----------+----------------------------+
//   | sleeps| attention | pending, one bit for slots |
//   +-------+-----------+-- i, i+30, i+60, ... -------+
//
// Pending bits are hints; the slot words are the truth: a set bit means "look at these words". The
// bits and `sleeps` are one word, so ringing is one atomic operation and costs a system call only
// when the worker sleeps. `sleeps` stays set until the worker itself has woken, so that a ringer
// killed between setting its bit and waking cannot make a later ringer believe that the wake is
// done.
//
// One worker takes; anybody rings. A worker that dies with bits in its hands leaves words that its
// successor scans.
//
// Templated on the atomic word so that a model checker can put its own in std::atomic's place.

#ifndef SLOTRING_CLIENT_LIB_SHM_DOORBELL_H_
#define SLOTRING_CLIENT_LIB_SHM_DOORBELL_H_

#include <atomic>
#include <cstdint>

namespace slotring::shm {

template <class AtomicWord32>
class Doorbell {
 public:
  static constexpr std::uint32_t kPendingBits = 30;
  static constexpr std::uint32_t kPendingMask = (1u << kPendingBits) - 1;
  // Something that is no request wants the worker's attention: a drain, a signal.
  static constexpr std::uint32_t kAttention = 1u << 30;
  static constexpr std::uint32_t kSleeps = 1u << 31;

  explicit Doorbell(AtomicWord32& word) : word_(&word) {}

  static constexpr std::uint32_t bit_of(std::uint32_t slot_of_worker) {
    return 1u << (slot_of_worker % kPendingBits);
  }

  // Sets bits. True when the worker slept, and the caller must futex_wake() the word.
  [[nodiscard]] bool ring(std::uint32_t bits) {
    // Release: what was written before (the slot word) is seen by the worker that takes the bits.
    return (word_->fetch_or(bits, std::memory_order_seq_cst) & kSleeps) != 0;
  }

  // What there is to take; what a waiting worker polls.
  std::uint32_t look() const { return word_->load(std::memory_order_acquire) & ~kSleeps; }
  bool rung() const { return look() != 0; }

  // Takes all bits. Only the worker.
  std::uint32_t take() { return word_->exchange(0, std::memory_order_seq_cst) & ~kSleeps; }

  // Announces sleep. False when something was rung meanwhile; otherwise the worker futex_waits on
  // the word for as long as it is kSleeps.
  [[nodiscard]] bool try_sleep() {
    std::uint32_t none = 0;
    return word_->compare_exchange_strong(none, kSleeps, std::memory_order_seq_cst,
                                          std::memory_order_acquire) ||
           none == kSleeps;
  }

 private:
  AtomicWord32* word_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_DOORBELL_H_
