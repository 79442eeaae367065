#include "client_lib/shm/reclaim.h"

#include <algorithm>
#include <climits>
#include <vector>

namespace slotring::shm {

using layout::kFlagListed;
using layout::kFlagLost;
using layout::kFlagNeverStarted;
using layout::SeatState;

namespace {

constexpr Actor kReaper = Actor::kReaper;

// One step of a dead client's slot. True when the slot needs nothing more from the reaper.
bool step_dead_clients_slot(const SlotPool& pool, SlotIndex slot, const SlotWord& seen) {
  switch (seen.state) {
    case SlotState::kClaimed:
    case SlotState::kRequested:
    case SlotState::kReplied:
      return pool.try_release(slot, seen, kReaper);
    case SlotState::kRunning:
      if (!pool.try_abandon(slot, seen, kReaper)) return false;
      break;
    case SlotState::kAbandoned:  // who did it may have died before it rang
      break;
    case SlotState::kFree:
      return true;
  }
  // Whatever the flags say of a worker that waits: its client may have taken the flag, and have
  // died between the bit and the wake.
  pool.ring_worker(slot);
  return true;
}

// One step of a dead worker's slot. True when the slot needs nothing more from the reaper.
bool step_dead_workers_slot(const SlotPool& pool, SlotIndex slot, const SlotWord& seen,
                            SlotFlags lost, bool retired) {
  AtomicWord& word = pool.word(slot);
  switch (seen.state) {
    case SlotState::kRunning:
      if (!try_move(word, seen, SlotState::kReplied, kReaper, lost).moved) return false;
      break;
    case SlotState::kRequested:
      if (!retired) return true;
      lost = static_cast<SlotFlags>(lost | kFlagNeverStarted);
      if (!try_move(word, seen, SlotState::kReplied, kReaper, lost).moved) return false;
      break;
    case SlotState::kAbandoned:
      return pool.try_release(slot, seen, kReaper);
    case SlotState::kReplied:  // the worker may have died before it rang
      break;
    case SlotState::kFree:
    case SlotState::kClaimed:
      return true;
  }
  // Whatever the flags say of a sleeper: a wake too many does no harm.
  pool.tell_owner(slot, {seen.generation, seen.owner, seen.state,
                         static_cast<SlotFlags>(seen.flags | layout::kFlagCallerSleeps)});
  return true;
}

// Mends `listed` of a slot that had no hint when its word was `seen`. Repeated until it is done to
// a word that did not change under it: a slot passed over here might keep a `listed` that lies, for
// ever. A hint that somebody pushed meanwhile at worst becomes a double.
void relist(const SlotPool& pool, SlotIndex slot, SlotWord seen) {
  const ControlSegment& segment = pool.segment();
  const SeatIndex seat = segment.seat_of(slot);
  for (;;) {
    const bool claimable =
        seen.state == SlotState::kFree && segment.seat_word(seat).state == SeatState::kReady;
    if (!claimable && !seen.has(kFlagListed)) return;  // whoever frees or publishes it lists it
    const auto flags =
        static_cast<SlotFlags>(claimable ? seen.flags | kFlagListed : seen.flags & ~kFlagListed);
    if (!try_set_flags(pool.word(slot), seen, flags)) continue;
    if (claimable) {
      pool.push_hint(slot, segment.busy_slots(seat));
      pool.line().wake_one();
    }
    return;
  }
}

}  // namespace

std::uint32_t reclaim_client(const SlotPool& pool, std::uint16_t owner) {
  const ControlSegment& segment = pool.segment();
  std::uint32_t walked = 0;
  for (SlotIndex slot = 0; slot < segment.geometry().slots(); ++slot) {
    SlotWord seen = load_slot(pool.word(slot));
    if (seen.owner != owner || seen.state == SlotState::kFree) continue;
    ++walked;
    // A worker may move the slot meanwhile; the owner is dead, so that ends after a few steps.
    while (seen.owner == owner && !step_dead_clients_slot(pool, slot, seen)) {
      seen = load_slot(pool.word(slot));
    }
  }
  pool.line().evict(owner);
  audit_hints(pool);
  return walked;
}

std::uint32_t reclaim_worker(const SlotPool& pool, SeatIndex seat, std::uint32_t generation,
                             bool retired) {
  const ControlSegment& segment = pool.segment();
  const std::uint32_t obituary = generation % layout::kObituariesPerSeat;
  const auto lost = static_cast<SlotFlags>(kFlagLost | obituary << layout::kObituaryShift);
  std::uint32_t walked = 0;
  const SlotIndex first = segment.first_slot(seat);
  for (SlotIndex slot = first; slot < first + segment.geometry().slots_per_worker; ++slot) {
    SlotWord seen = load_slot(pool.word(slot));
    if (seen.state == SlotState::kRunning || seen.state == SlotState::kAbandoned) ++walked;
    while (!step_dead_workers_slot(pool, slot, seen, lost, retired)) {
      seen = load_slot(pool.word(slot));
    }
  }
  audit_hints(pool);
  return walked;
}

void audit_hints(const SlotPool& pool) {
  const ControlSegment& segment = pool.segment();
  const std::uint32_t slots = segment.geometry().slots();
  // The words are read before the rings: what is done below is done to exactly these words.
  std::vector<SlotWord> words(slots);
  for (SlotIndex slot = 0; slot < slots; ++slot) words[slot] = load_slot(pool.word(slot));
  std::vector<bool> hinted(slots, false);
  for (std::uint32_t depth = 0; depth < segment.free_ring_count(); ++depth) {
    segment.free_ring(depth).for_each([&](std::uint32_t slot) { hinted[slot] = true; });
  }
  for (SlotIndex slot = 0; slot < slots; ++slot) {
    if (!hinted[slot]) relist(pool, slot, words[slot]);
  }
  pool.line().mend();
  // The dead may have freed a slot and woken nobody.
  for (SeatIndex seat = 0; seat < segment.geometry().max_workers; ++seat) {
    pool.wake_all_wanting(seat);
  }
}

void audit_waiters(const SlotPool& pool) {
  const ControlSegment& segment = pool.segment();
  std::uint32_t free = 0;
  for (SlotIndex slot = 0; slot < segment.geometry().slots(); ++slot) {
    const bool ready = segment.seat_word(segment.seat_of(slot)).state == SeatState::kReady;
    if (ready && load_slot(pool.word(slot)).state == SlotState::kFree) ++free;
  }
  if (free > 0) pool.line().wake_all();
}

}  // namespace slotring::shm
