// Moving one slot along the arrows of schemas/slot_word.h.
//
// Every function is one compare-and-swap of the whole word, repeated only when nothing but flags
// changed under it. Whoever succeeds owns what the arrow says; whoever fails learns what the word
// is now and has changed nothing. Lock-free, any process may die before or after any of them.
//
// Orders: each successful move is acq_rel. Its release publishes what the mover wrote before (a
// frame, its being done with an area) and is acquired by the next actor's move or load of the same
// word.
//
// Templated on the atomic word so that a model checker can put its own in std::atomic's place.

#ifndef SLOTRING_CLIENT_LIB_SHM_SLOT_H_
#define SLOTRING_CLIENT_LIB_SHM_SLOT_H_

#include <atomic>
#include <cassert>
#include <cstdint>

#include "schemas/slot_word.h"

namespace slotring::shm {

using layout::Actor;
using layout::SlotFlags;
using layout::SlotState;
using layout::SlotWord;

struct MoveResult {
  bool moved;
  SlotWord before;  // the word that was replaced, or the one that forbade the move
  SlotWord after;   // the word now, when it moved
};

template <class AtomicWord>
SlotWord load_slot(const AtomicWord& word) {
  // seq_cst: a waiter that registers and then looks at the words, and a releaser that frees a word
  // and then looks for waiters, cannot both miss each other.
  return SlotWord::unpack(word.load(std::memory_order_seq_cst));
}

// `held.flags` is a guess that saves a second try when it is right.
// Replaces `held`'s step by `next` (whole, but for the flags, which are (old & keep) | next.flags).
template <class AtomicWord>
[[nodiscard]] MoveResult try_replace(AtomicWord& word, const SlotWord& held, SlotWord next,
                                     SlotFlags keep) {
  std::uint64_t seen = held.pack();
  const SlotFlags set = next.flags;
  for (;;) {
    const SlotWord before = SlotWord::unpack(seen);
    if (!before.same_step(held)) return {false, before, before};
    next.flags = static_cast<SlotFlags>((before.flags & keep) | set);
    if (word.compare_exchange_strong(seen, next.pack(), std::memory_order_seq_cst,
                                     std::memory_order_acquire)) {
      return {true, before, next};
    }
  }
}

// Moves a slot to another state of the same call.
template <class AtomicWord>
[[nodiscard]] MoveResult try_move(AtomicWord& word, const SlotWord& held, SlotState to, Actor actor,
                                  SlotFlags set = 0) {
  assert(layout::is_legal(held.state, to, actor));
  (void)actor;
  SlotWord next = held;
  next.state = to;
  next.flags = set;
  return try_replace(word, held, next, 0xFF);
}

// FREE -> CLAIMED by `owner`. `clear_listed` says that the caller took the slot's hint out of a
// ring.
template <class AtomicWord>
[[nodiscard]] MoveResult try_claim_slot(AtomicWord& word, const SlotWord& free, std::uint16_t owner,
                                        bool clear_listed) {
  SlotWord next = free;
  next.owner = owner;
  next.state = SlotState::kClaimed;
  next.flags = 0;
  return try_replace(word, free, next, clear_listed ? SlotFlags{0} : layout::kFlagListed);
}

// Any state -> FREE, the generation grown and `listed` set. If `before` did not have `listed`, the
// caller must put a hint into a ring.
template <class AtomicWord>
[[nodiscard]] MoveResult try_free(AtomicWord& word, const SlotWord& held, Actor actor) {
  assert(layout::is_legal(held.state, SlotState::kFree, actor));
  (void)actor;
  const SlotWord next{held.generation + 1, layout::kNoOwner, SlotState::kFree, layout::kFlagListed};
  return try_replace(word, held, next, 0);
}

// Changes flags of `seen` alone; fails when the word is no longer exactly `seen`, which is then
// updated.
template <class AtomicWord>
[[nodiscard]] bool try_set_flags(AtomicWord& word, SlotWord& seen, SlotFlags flags) {
  SlotWord next = seen;
  next.flags = flags;
  std::uint64_t expected = seen.pack();
  if (word.compare_exchange_strong(expected, next.pack(), std::memory_order_seq_cst,
                                   std::memory_order_acquire)) {
    seen = next;
    return true;
  }
  seen = SlotWord::unpack(expected);
  return false;
}

// Takes `flag` away from the word if it is still at `step`; true for the one who did it. A load
// where there is nothing to take.
template <class AtomicWord>
[[nodiscard]] bool try_take_flag(AtomicWord& word, const SlotWord& step, SlotFlags flag) {
  SlotWord seen = load_slot(word);
  while (seen.has(flag) && seen.same_step(step)) {
    if (try_set_flags(word, seen, static_cast<SlotFlags>(seen.flags & ~flag))) return true;
  }
  return false;
}

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SLOT_H_
