#include "client_lib/shm/slot_pool.h"

#include <algorithm>
#include <climits>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/owner_bell.h"

namespace slotring::shm {

using layout::kFlagListed;

namespace {

// One step of a slot that `seen` says to be this owner's. True when the slot is let go of.
bool try_disown(const SlotPool& pool, SlotIndex slot, const SlotWord& seen) {
  switch (seen.state) {
    case SlotState::kRequested:
      (void)try_move(pool.word(slot), seen, SlotState::kClaimed, Actor::kClient).moved;
      return false;
    case SlotState::kRunning:
      return try_move(pool.word(slot), seen, SlotState::kAbandoned, Actor::kClient).moved;
    case SlotState::kClaimed:
    case SlotState::kReplied:
      return pool.try_release(slot, seen, Actor::kClient);
    case SlotState::kFree:
    case SlotState::kAbandoned:
      break;
  }
  return false;
}

}  // namespace

std::optional<Claim> SlotPool::try_claim(std::uint16_t owner, SlotIndex last) const {
  if (!line_.empty()) return std::nullopt;
  if (last != kNoSlot) {
    if (std::optional<Claim> claim = try_claim_last(owner, last)) return claim;
  }
  return try_claim_listed(owner);
}

std::optional<Claim> SlotPool::try_claim_listed(std::uint16_t owner) const {
  for (std::uint32_t depth = 0; depth < segment_->free_ring_count(); ++depth) {
    Ring ring = segment_->free_ring(depth);
    // Bounded by the ring: whatever it holds, each pop takes one away.
    for (std::uint32_t i = 0; i <= ring.capacity(); ++i) {
      const std::optional<std::uint32_t> slot = ring.try_pop();
      if (!slot) break;
      if (std::optional<Claim> claim = try_claim_hinted(owner, *slot)) return claim;
    }
  }
  return std::nullopt;
}

MoveResult SlotPool::try_claim_noted(SlotIndex slot, const SlotWord& seen, std::uint16_t owner,
                                     bool clear_listed) const {
  if (own_ != nullptr) own_->note(slot, seen.generation);
  const MoveResult claimed = try_claim_slot(word(slot), seen, owner, clear_listed);
  if (own_ != nullptr && !claimed.moved) {
    own_->note_lost(slot, seen.generation, claimed.before, owner);
  }
  return claimed;
}

std::uint32_t SlotPool::disown_strangers(std::uint16_t owner) const {
  std::uint32_t disowned = 0;
  for (SlotIndex slot = 0; slot < segment_->geometry().slots(); ++slot) {
    SlotWord seen = load_slot(word(slot));
    // A worker may move the slot meanwhile, a few steps at most.
    while (seen.owner == owner && seen.state != SlotState::kFree &&
           seen.state != SlotState::kAbandoned &&
           static_cast<std::uint8_t>(seen.state) < layout::kSlotStates &&
           !own_->holds(slot, seen.generation)) {
      if (try_disown(*this, slot, seen)) ++disowned;
      seen = load_slot(word(slot));
    }
  }
  own_->vacate_others(line_, *segment_, owner);
  return disowned;
}

std::optional<Claim> SlotPool::try_claim_last(std::uint16_t owner, SlotIndex last) const {
  if (segment_->busy_slots(segment_->seat_of(last)) != 0) return std::nullopt;
  return try_claim_unhinted(owner, last);
}

std::optional<Claim> SlotPool::try_claim_beside(std::uint16_t owner, SlotIndex last,
                                                std::uint32_t cpu) const {
  if (!line_.empty()) return std::nullopt;
  const auto is_idle_beside = [&](SeatIndex seat) {
    return segment_->seat(seat).cpu.load(std::memory_order_relaxed) != cpu + 1 &&
           segment_->busy_slots(seat) == 0;
  };
  if (last != kNoSlot && is_idle_beside(segment_->seat_of(last))) {
    return try_claim_unhinted(owner, last);
  }
  constexpr std::uint32_t kMostLooks = 16;
  const std::uint32_t seats = segment_->geometry().max_workers;
  std::optional<SeatIndex> latest;
  std::uint64_t latest_ns = 0;
  for (std::uint32_t i = 0; i < std::min(seats, kMostLooks); ++i) {
    const SeatIndex seat = (owner + i) % seats;
    if (!is_idle_beside(seat)) continue;
    const std::uint64_t ns = segment_->seat(seat).running_since.load(std::memory_order_relaxed);
    if (!latest || ns > latest_ns) {
      latest = seat;
      latest_ns = ns;
    }
  }
  return latest ? try_claim_on(owner, *latest) : std::nullopt;
}

std::optional<Claim> SlotPool::try_claim_unhinted(std::uint16_t owner, SlotIndex slot) const {
  const SlotWord seen = load_slot(word(slot));
  if (seen.state != SlotState::kFree || !is_ready(slot)) return std::nullopt;
  // The hint, if there is one, stays in its ring, and `listed` with it.
  const MoveResult claimed = try_claim_noted(slot, seen, owner, /*clear_listed=*/false);
  if (!claimed.moved) return std::nullopt;
  return Claim{slot, claimed.after};
}

std::optional<Claim> SlotPool::try_claim_hinted(std::uint16_t owner, SlotIndex slot) const {
  SlotWord seen = load_slot(word(slot));
  for (;;) {
    if (seen.state == SlotState::kFree && is_ready(slot)) {
      const MoveResult claimed = try_claim_noted(slot, seen, owner, /*clear_listed=*/true);
      if (claimed.moved) return Claim{slot, claimed.after};
      seen = claimed.before;
    } else if (!seen.has(kFlagListed) ||
               try_set_flags(word(slot), seen, static_cast<SlotFlags>(seen.flags & ~kFlagListed))) {
      return std::nullopt;
    }
  }
}

void SlotPool::clear_listed(SlotIndex slot) const {
  SlotWord seen = load_slot(word(slot));
  while (seen.has(kFlagListed)) {
    const auto flags = static_cast<SlotFlags>(seen.flags & ~kFlagListed);
    if (try_set_flags(word(slot), seen, flags)) return;
  }
}

std::optional<Claim> SlotPool::try_claim_scanning(std::uint16_t owner, SlotIndex start) const {
  const std::uint32_t slots = segment_->geometry().slots();
  for (std::uint32_t i = 0; i < slots; ++i) {
    if (std::optional<Claim> claim = try_claim_unhinted(owner, (start + i) % slots)) return claim;
  }
  return std::nullopt;
}

// The rings first: to look at every word takes the longer the more there are.
std::optional<Claim> SlotPool::try_claim_any(std::uint16_t owner, SlotIndex start) const {
  if (std::optional<Claim> claim = try_claim_listed(owner)) return claim;
  return try_claim_scanning(owner, start);
}

std::optional<Claim> SlotPool::try_claim_on(std::uint16_t owner, SeatIndex seat) const {
  const SlotIndex first = segment_->first_slot(seat);
  for (SlotIndex slot = first; slot < first + segment_->geometry().slots_per_worker; ++slot) {
    if (std::optional<Claim> claim = try_claim_unhinted(owner, slot)) return claim;
  }
  return std::nullopt;
}

bool SlotPool::try_release(SlotIndex slot, const SlotWord& held, Actor actor) const {
  if (own_ != nullptr) own_->end(slot, held.generation);
  const MoveResult freed = try_free(word(slot), held, actor);
  if (!freed.moved) return false;
  if (!freed.before.has(kFlagListed)) {
    push_hint(slot, segment_->busy_slots(segment_->seat_of(slot)));
  }
  if (!line_.empty()) line_.wake_one();
  wake_wanting(segment_->seat_of(slot));
  return true;
}

bool SlotPool::try_abandon(SlotIndex slot, const SlotWord& held, Actor actor) const {
  const MoveResult abandoned = try_move(word(slot), held, SlotState::kAbandoned, actor);
  if (!abandoned.moved) return false;
  if (abandoned.before.has(layout::kFlagWorkerWaits)) ring_worker(slot);
  std::atomic<std::uint32_t>& bell = segment_->seat(segment_->seat_of(slot)).cancel_bell;
  // Release: who sees the bell's new value sees the slot's, too.
  bell.fetch_add(1, std::memory_order_release);
  futex_wake(futex_half(bell), INT_MAX);
  return true;
}

void SlotPool::tell_owner(SlotIndex slot, const SlotWord& seen) const {
  if (seen.has(layout::kFlagCallerSleeps)) futex_wake(futex_half(word(slot)), INT_MAX);
  if (seen.has(layout::kFlagRingOwner)) {
    ring_owner(*segment_, seen.owner, OwnerBell::bit_of(slot));
  }
}

void SlotPool::ring_worker(SlotIndex slot, bool wake_anyway) const {
  const SeatIndex seat = segment_->seat_of(slot);
  std::atomic<std::uint32_t>& word = segment_->seat(seat).bell;
  Doorbell bell(word);
  if (bell.ring(bell.bit_of(slot - segment_->first_slot(seat))) || wake_anyway) {
    futex_wake(futex_half(word), 1);
  }
}

void SlotPool::push_hint(SlotIndex slot, std::uint32_t depth) const {
  if (!segment_->free_ring(depth).try_push(slot)) clear_listed(slot);
}

void SlotPool::publish(SeatIndex seat) const {
  std::uint32_t depth = segment_->busy_slots(seat);
  const SlotIndex first = segment_->first_slot(seat);
  for (SlotIndex slot = first; slot < first + segment_->geometry().slots_per_worker; ++slot) {
    SlotWord seen = load_slot(word(slot));
    // Whether an earlier hint is still in some ring does not matter: a second one is harmless.
    // Repeated, since one who popped that hint before may clear `listed` now.
    while (seen.state == SlotState::kFree &&
           !try_set_flags(word(slot), seen, static_cast<SlotFlags>(seen.flags | kFlagListed))) {
    }
    if (seen.state != SlotState::kFree) continue;
    push_hint(slot, depth++);
    line_.wake_one();
  }
  wake_wanting(seat);
}

}  // namespace slotring::shm
