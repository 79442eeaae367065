#include "client_lib/shm/slot_pool.h"

#include <climits>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/owner_bell.h"

namespace slotring::shm {

using layout::kFlagListed;
using layout::SeatState;

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

// Whether the seat has a worker that calls may go to, or gets one by itself.
bool is_expected(const layout::SeatWord& seat) {
  // One that is sent away for being idle stays after all, if it is not, or leaves its seat dormant.
  if (seat.state == SeatState::kDraining) return seat.returns;
  return seat.state == SeatState::kReady || seat.state == SeatState::kStarting ||
         seat.state == SeatState::kLost;
}

}  // namespace

std::optional<Claim> SlotPool::try_claim(std::uint16_t owner, SlotIndex last) const {
  if (!line_.empty()) return std::nullopt;
  if (last != kNoSlot) {
    if (std::optional<Claim> claim = try_claim_last(owner, last)) return claim;
  }
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

std::optional<WaiterIndex> SlotPool::register_waiter(std::uint16_t owner,
                                                     WaitingLine::Wake wake) const {
  return own_ != nullptr ? own_->register_waiter(line_, owner, wake)
                         : line_.try_register(owner, wake);
}

void SlotPool::leave(WaiterIndex waiter, std::uint16_t owner) const {
  if (own_ != nullptr) own_->forget(waiter);
  // Unless it was scribbled over, and is somebody else's by now.
  if (line_.is_place_of(waiter, owner)) line_.leave(waiter);
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

Result<Claim> SlotPool::claim(std::uint16_t owner, SlotIndex last, MonotonicNs deadline,
                              const std::stop_token& stop, const StillServed& still_served) const {
  if (std::optional<Claim> claim = try_claim(owner, last)) return *claim;
  const SlotIndex start = last == kNoSlot ? 0 : last;
  std::optional<WaiterIndex> waiter = register_waiter(owner);
  if (!waiter) {
    if (std::optional<Claim> claim = try_claim_scanning(owner, start)) return *claim;
    line_.ring_audit();  // the waiters' words may be wrong
    return saturated();
  }
  for (;;) {
    if (std::optional<Claim> claim = try_claim_scanning(owner, start)) {
      leave(*waiter, owner);
      return *claim;
    }
    Status going_on = check_workers_expected();
    if (!going_on) line_.ring_audit();  // the seats' words may be wrong
    if (going_on && !line_.sleep(*waiter, next_self_check(deadline), stop)) {
      going_on = check_after_sleep(deadline, stop, still_served);
      if (going_on && !line_.is_place_of(*waiter, owner))
        going_on = take_other_place(*waiter, owner);
    }
    if (!going_on) {
      leave(*waiter, owner);
      return std::move(going_on).error();
    }
  }
}

Result<std::optional<Claim>> SlotPool::try_claim_in_line(std::uint16_t owner,
                                                         std::optional<WaiterIndex>& place,
                                                         bool look_anyway) const {
  if (place && !line_.is_place_of(*place, owner)) {  // it was scribbled over
    if (own_ != nullptr) own_->forget(*place);
    place.reset();
  }
  const bool arrives = !place;
  if (arrives) {
    if (std::optional<Claim> claim = try_claim(owner)) return claim;
    place = register_waiter(owner, WaitingLine::Wake::kBell);
  } else if (line_.is_woken(*place)) {
    line_.acknowledge(*place);
  } else if (!look_anyway) {
    return std::optional<Claim>();
  }
  if (std::optional<Claim> claim = try_claim_scanning(owner, 0)) return claim;
  Status going_on = check_workers_expected();
  if (going_on && !place) going_on = saturated();
  // Somebody waits; or the words may be wrong that say why not.
  if (arrives || !going_on) line_.ring_audit();
  if (!going_on) return std::move(going_on).error();
  return std::optional<Claim>();
}

void SlotPool::leave_line(std::uint16_t owner, std::optional<WaiterIndex>& place) const {
  if (place) leave(*place, owner);
  place.reset();
}

std::optional<Claim> SlotPool::try_claim_on(std::uint16_t owner, SeatIndex seat) const {
  const SlotIndex first = segment_->first_slot(seat);
  for (SlotIndex slot = first; slot < first + segment_->geometry().slots_per_worker; ++slot) {
    if (std::optional<Claim> claim = try_claim_unhinted(owner, slot)) return claim;
  }
  return std::nullopt;
}

Result<Claim> SlotPool::claim_on(std::uint16_t owner, SeatIndex seat, MonotonicNs deadline,
                                 const std::stop_token& stop,
                                 const StillServed& still_served) const {
  if (std::optional<Claim> claim = try_claim_on(owner, seat)) return *claim;
  std::atomic<std::uint32_t>& wanted = segment_->seat(seat).wanted;
  const std::stop_callback stirs(stop, [this, seat] { wake_all_wanting(seat); });
  for (;;) {
    // seq_cst: partner of wake_wanting(). The looks below come after it, and a wake after it
    // changes the word that this sleeps on.
    const std::uint32_t seen =
        wanted.fetch_or(layout::kSeatWanted, std::memory_order_seq_cst) | layout::kSeatWanted;
    if (std::optional<Claim> claim = try_claim_on(owner, seat)) return *claim;
    if (Status expected = check_worker_expected(seat); !expected) {
      line_.ring_audit();  // the seat's word may be wrong
      return std::move(expected).error();
    }
    const MonotonicNs check = next_self_check(deadline);
    // A request after this look changes the word, too.
    if (!stop.stop_requested()) futex_wait(futex_half(wanted), seen, check);
    if (!stop.stop_requested() && monotonic_now() < check) continue;
    if (Status going_on = check_after_sleep(deadline, stop, still_served); !going_on) {
      return std::move(going_on).error();
    }
  }
}

void SlotPool::wake_all_wanting(SeatIndex seat) const {
  std::atomic<std::uint32_t>& wanted = segment_->seat(seat).wanted;
  std::uint32_t seen = wanted.load(std::memory_order_relaxed);
  // seq_cst, whether the bit was set or not: partner of the fetch_or in claim_on(), which either
  // comes first, and sleeps on a word that is another now, or sees what was done before this.
  while (!wanted.compare_exchange_weak(seen, (seen & ~layout::kSeatWanted) + layout::kWantedStep,
                                       std::memory_order_seq_cst, std::memory_order_relaxed)) {
  }
  futex_wake(futex_half(wanted), INT_MAX);
}

Error SlotPool::saturated() const {
  return Error{.code = ErrorCode::kPoolSaturated,
               .message = "no slot is free and " +
                          std::to_string(segment_->geometry().max_waiters) +
                          " callers wait already",
               .retryable = true};
}

// For a waiter whose place in line was scribbled over.
Status SlotPool::take_other_place(WaiterIndex& waiter, std::uint16_t owner) const {
  if (own_ != nullptr) own_->forget(waiter);
  const std::optional<WaiterIndex> other = register_waiter(owner);
  if (!other) return saturated();
  waiter = *other;
  return Done{};
}

Status check_still_wanted(MonotonicNs deadline, const std::stop_token& stop) {
  const auto given_up = [](ErrorCode code, const char* message) -> Status {
    return Error{.code = code, .message = message, .retryable = true};
  };
  if (stop.stop_requested()) {
    return given_up(ErrorCode::kCancelled, "cancelled before a slot was free");
  }
  if (has_passed(deadline)) {
    return given_up(ErrorCode::kDeadlineExceeded, "the deadline passed before a slot was free");
  }
  return Done{};
}

// What a sleep that nobody ended means for the caller.
Status SlotPool::check_after_sleep(MonotonicNs deadline, const std::stop_token& stop,
                                   const StillServed& still_served) const {
  if (Status wanted = check_still_wanted(deadline, stop); !wanted) return wanted;
  line_.interrupt_audit();  // whatever has become of its bell
  return still_served ? still_served() : Status(Done{});
}

// Whether some worker is ready or on its way.
Status SlotPool::check_workers_expected() const {
  bool draining = false;
  for (SeatIndex seat = 0; seat < segment_->geometry().max_workers; ++seat) {
    const layout::SeatWord word = segment_->seat_word(seat);
    if (is_expected(word) || word.state == SeatState::kDormant) return Done{};
    draining = draining || word.state == SeatState::kDraining;
  }
  if (draining) {
    return Error{.code = ErrorCode::kPoolDraining,
                 .message = "the pool is shutting down and takes no new calls",
                 .retryable = true};
  }
  return Error{.code = ErrorCode::kWorkerUnavailable,
               .message = "the pool has no worker, and none is being started",
               .retryable = true};
}

Status SlotPool::check_worker_expected(SeatIndex seat) const {
  const layout::SeatWord word = segment_->seat_word(seat);
  if (is_expected(word)) return Done{};
  // Where the whole pool goes, that is what to say.
  if (Status pool = check_workers_expected(); !pool) return pool;
  return Error{.code = ErrorCode::kWorkerUnavailable,
               .message =
                   "the worker that the call was for is not there, and no successor is "
                   "due: its seat is " +
                   std::string(layout::to_string(word.state)),
               .retryable = true};
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
