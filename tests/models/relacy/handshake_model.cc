// The two store-then-load handshakes of the pool under weak memory orders, on the real ring and
// slot words.
//
//   releaser: frees its word, then looks at the line    | one of the two must see the other
//   waiter:   stands in line, then looks at the word    |
//
//   caller:   commits REQUESTED, then looks at the seat | one of the two must see the other
//   reaper:   retires the seat, then walks the words    |
//
// The waiter's word is three states of an atomic here; client_lib/shm/waiting_line.cc is not
// templated, and tests/models/line.pml checks its steps.

#include "client_lib/shm/hint_ring.h"
#include "client_lib/shm/slot.h"
#include "tests/models/relacy/verdict.h"

namespace slotring::models {
namespace {

using shm::Actor;
using shm::load_slot;
using shm::SlotState;
using shm::SlotWord;
using shm::try_claim_slot;
using shm::try_free;
using shm::try_move;

enum Waiter : std::uint32_t { kVacant, kWaiting, kWoken };

template <class Policy, bool kLooksFirst>
struct ReleaserAndWaiter : rl::test_suite<ReleaserAndWaiter<Policy, kLooksFirst>, 2> {
  using Word = ModelAtomic<std::uint64_t, Policy>;
  using Ring = shm::HintRing<Word>;
  static constexpr std::uint32_t kCells = 2;

  Word head, tail, cells[kCells];
  Ring line{&head, &tail, cells, kCells, kCells};
  Word slot;
  ModelAtomic<std::uint32_t, Policy> waiter;
  ModelFutex futex;
  SlotWord held;

  void before() {
    line.format();
    slot.store(SlotWord{}.pack(), std::memory_order_relaxed);
    waiter.store(kVacant, std::memory_order_relaxed);
    held = try_claim_slot(slot, SlotWord{}, 1, true).after;
  }
  void thread(unsigned index) {
    if (index == 0) {
      release();
    } else {
      wait_and_claim();
    }
  }
  void release() {
    RL_ASSERT(try_free(slot, held, Actor::kClient).moved);
    if (line.empty() || !line.try_pop()) return;
    std::uint32_t waiting = kWaiting;
    if (waiter.compare_exchange_strong(waiting, kWoken, std::memory_order_seq_cst,
                                       std::memory_order_seq_cst)) {
      futex.wake();
    }
  }
  void wait_and_claim() {
    if (kLooksFirst && claim()) return;
    stand_in_line();
    while (kLooksFirst || !claim()) {
      while (waiter.load(std::memory_order_seq_cst) == kWaiting) {
        futex.wait(waiter, std::uint32_t{kWaiting});
      }
      if (kLooksFirst) return;
      stand_in_line();
    }
  }
  void stand_in_line() {
    std::uint32_t seen = waiter.load(std::memory_order_seq_cst);
    RL_ASSERT(waiter.compare_exchange_strong(seen, kWaiting, std::memory_order_seq_cst,
                                             std::memory_order_seq_cst));
    RL_ASSERT(line.try_push(0));
  }
  bool claim() {
    const SlotWord seen = load_slot(slot);
    return seen.state == SlotState::kFree && try_claim_slot(slot, seen, 2, false).moved;
  }
};

template <class Policy>
struct CallerAndReaper : rl::test_suite<CallerAndReaper<Policy>, 2> {
  ModelAtomic<std::uint64_t, Policy> slot;
  ModelAtomic<std::uint64_t, Policy> seat;
  SlotWord claimed;
  rl::var<int> ends;

  void before() {
    slot.store(SlotWord{}.pack(), std::memory_order_relaxed);
    seat.store(0, std::memory_order_relaxed);
    ends($) = 0;
    claimed = try_claim_slot(slot, SlotWord{}, 1, true).after;
  }
  void thread(unsigned index) {
    SlotWord requested = claimed;
    requested.state = SlotState::kRequested;
    if (index == 0) {
      RL_ASSERT(try_move(slot, claimed, SlotState::kRequested, Actor::kClient).moved);
      if (seat.load(std::memory_order_seq_cst) == 0) return;
      if (try_move(slot, requested, SlotState::kClaimed, Actor::kClient).moved) ends($) = 1;
    } else {
      seat.store(1, std::memory_order_seq_cst);
      const SlotWord seen = load_slot(slot);
      if (seen.state != SlotState::kRequested) return;
      if (try_move(slot, seen, SlotState::kReplied, Actor::kReaper).moved) ends($) = 1;
    }
  }
  // A request that neither has ended waits for ever.
  void after() { RL_ASSERT(ends($) == 1); }
};

}  // namespace
}  // namespace slotring::models

int main() {
  using namespace slotring::models;
  Verdict verdict;
  verdict.holds<ReleaserAndWaiter<AsWritten, false>>("no waiter is forgotten by a releaser");
  verdict.holds<CallerAndReaper<AsWritten>>("no request is forgotten in a retired seat");
  verdict.is_found<ReleaserAndWaiter<NoTotalOrder, false>>("canary: waiting without seq_cst");
  verdict.is_found<ReleaserAndWaiter<AsWritten, true>>("canary: looks before it stands in line");
  verdict.is_found<CallerAndReaper<NoTotalOrder>>("canary: retiring without seq_cst");
  return verdict.exit_status();
}
