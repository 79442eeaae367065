// The pool as one would write it for one thread: what every concurrent history must look like.
//
// A slot is free, claimed, requested, running, replied or abandoned, has a generation, and holds
// one value. What an operation may do to it is one step, as in schemas/slot_word.h. Two answers are
// always allowed, since nothing is promised about them:
//   - a claim that gets nothing: hints may be under way, others may wait already, and a scan of
//     words is no snapshot, so a slot that was free all the time may be missed;
//   - every operation without response, to have had no effect.
// A worker that finds nothing to serve is held to it: a request whose submit() has returned must
// not be overlooked.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_SEQUENTIAL_POOL_H_
#define SLOTRING_TESTS_LINEARIZABILITY_SEQUENTIAL_POOL_H_

#include <array>
#include <cstdint>
#include <vector>

#include "schemas/slot_word.h"
#include "tests/linearizability/operation.h"

namespace slotring::linearizability {

class SequentialPool {
 public:
  static constexpr std::uint32_t kMaxSlots = 8;

  // All slots free, with these generations. REQUIRES: at most kMaxSlots.
  SequentialPool(const std::vector<std::uint32_t>& generations, std::uint32_t slots_per_worker);

  // Appends to `next` every pool that this one may have become by `operation`; none when it cannot
  // have happened here.
  void after(const Operation& operation, std::vector<SequentialPool>& next) const;

  bool operator==(const SequentialPool&) const = default;
  std::size_t hash() const;

 private:
  struct Slot {
    layout::SlotState state = layout::SlotState::kFree;
    bool lost = false;  // with kReplied: the worker died
    std::uint16_t owner = layout::kNoOwner;
    std::uint32_t generation = 0;
    std::uint64_t value = 0;

    void free() { *this = Slot{.generation = generation + 1}; }
    bool operator==(const Slot&) const = default;
  };

  void after_claim(const Operation& operation, std::vector<SequentialPool>& next) const;
  void after_serve(const Operation& operation, std::vector<SequentialPool>& next) const;
  void after_receive(const Operation& operation, std::vector<SequentialPool>& next) const;
  void after_abandon(const Operation& operation, std::vector<SequentialPool>& next) const;
  void after_reclaim(const Operation& operation, std::vector<SequentialPool>& next) const;
  // The same pool with another slot.
  SequentialPool with(std::uint32_t slot, const Slot& changed) const;

  std::array<Slot, kMaxSlots> slots_{};
  std::uint32_t count_;
  std::uint32_t slots_per_worker_;
};

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_SEQUENTIAL_POOL_H_
