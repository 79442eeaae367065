// How a caller waits for a slot: in line for any, or for one of a certain seat's.

#include <climits>

#include "client_lib/shm/expected_workers.h"
#include "client_lib/shm/slot_pool.h"

namespace slotring::shm {

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
    if (std::optional<Claim> claim = try_claim_any(owner, start)) {
      leave(*waiter, owner);
      return *claim;
    }
    Status going_on = check_workers_expected(*segment_);
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
  if (std::optional<Claim> claim = try_claim_any(owner, 0)) return claim;
  Status going_on = check_workers_expected(*segment_);
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
    if (Status expected = check_worker_expected(*segment_, seat); !expected) {
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

}  // namespace slotring::shm
