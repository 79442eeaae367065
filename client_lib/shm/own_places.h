// What this process itself knows of the slots and places in line that it holds: the truth against
// which it checks words that name it as their owner, after a peer has scribbled over some.
//
// Slots: the generation that a thread is about to claim is noted before its compare-and-swap. So a
// word that names this owner, and whose generation is not noted, is held by no thread, whatever
// happens at the same time: taking exactly that word away harms nobody. A lease's note goes before
// its slot does: words that a peer writes may go back to a generation that was this owner's.
// Places in line: on the slow path anyway, and so under a lock, which is this process's own.
//
// Thread-safe. Belongs to one owner.

#ifndef SLOTRING_CLIENT_LIB_SHM_OWN_PLACES_H_
#define SLOTRING_CLIENT_LIB_SHM_OWN_PLACES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/slot.h"
#include "client_lib/shm/waiting_line.h"

namespace slotring::shm {

class OwnPlaces {
 public:
  explicit OwnPlaces(std::uint32_t slots)
      : generations_(std::make_unique<std::atomic<std::uint64_t>[]>(slots)) {}

  // Before a claim of the slot at `generation`.
  void note(SlotIndex slot, std::uint32_t generation) {
    // Relaxed: the claim's own compare-and-swap publishes it together with the word.
    generations_[slot].store(noted(generation), std::memory_order_relaxed);
  }
  // After a claim that was lost, to `winner`'s owner. Another thread of this process may be that.
  void note_lost(SlotIndex slot, std::uint32_t generation, const SlotWord& winner,
                 std::uint16_t owner) {
    if (winner.generation == generation && winner.owner == owner) return;
    drop(slot, generation);
  }
  // Before a slot that this owner holds at `generation` is set free. No compare-and-swap: until it
  // is free, no other thread notes a claim of it.
  void end(SlotIndex slot, std::uint32_t generation) {
    if (holds(slot, generation)) generations_[slot].store(kNone, std::memory_order_relaxed);
  }
  // After a lease ended without its slot becoming FREE by it.
  void drop(SlotIndex slot, std::uint32_t generation) {
    std::uint64_t expected = noted(generation);
    generations_[slot].compare_exchange_strong(expected, kNone, std::memory_order_relaxed);
  }
  bool holds(SlotIndex slot, std::uint32_t generation) const {
    // Acquire order comes with the word, which is loaded before this.
    return generations_[slot].load(std::memory_order_relaxed) == noted(generation);
  }

  std::optional<WaiterIndex> register_waiter(const WaitingLine& line, std::uint16_t owner,
                                             WaitingLine::Wake wake) {
    const std::lock_guard lock(registering_);
    const std::optional<WaiterIndex> waiter = line.try_register(owner, wake);
    if (waiter) waiters_.insert(*waiter);
    return waiter;
  }
  // Before the place is given back, or when it was lost.
  void forget(WaiterIndex waiter) {
    const std::lock_guard lock(registering_);
    waiters_.erase(waiter);
  }
  // Vacates the places that name `owner`, and where none of its threads waits.
  void vacate_others(const WaitingLine& line, const ControlSegment& segment, std::uint16_t owner) {
    const std::lock_guard lock(registering_);
    for (WaiterIndex waiter = 0; waiter < segment.geometry().max_waiters; ++waiter) {
      const auto seen =
          layout::WaiterWord::unpack(segment.waiter_word(waiter).load(std::memory_order_seq_cst));
      if (seen.owner != owner || seen.state == layout::WaiterState::kVacant) continue;
      if (waiters_.count(waiter) == 0) (void)line.vacate(waiter, seen);
    }
  }

 private:
  static constexpr std::uint64_t kNone = 0;
  static constexpr std::uint64_t noted(std::uint32_t generation) {
    return std::uint64_t{generation} + 1;
  }

  std::unique_ptr<std::atomic<std::uint64_t>[]> generations_;
  std::mutex registering_;
  std::set<WaiterIndex> waiters_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_OWN_PLACES_H_
