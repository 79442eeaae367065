// Claiming and freeing slots: the words, the rings of hints and the waiting line together.
//
// Guarantee: a slot is claimed by one compare-and-swap on its own word, by one owner. No lock is
// shared; any process may stop or die at any instruction, and what it leaves is mended by
// reclaim.h.
//
// Rings are hints, words are the truth:
//   - who pops a hint claims the slot or, when it is not FREE, clears `listed` in its word;
//   - who frees a slot sets `listed` in the same step, and pushes a hint unless one was there;
//   - a push that finds its ring full clears `listed` again; the slot is found by scanning.
// Ring d takes slots whose worker had d other calls in flight, and claims pop shallow rings first:
// an idle worker is found first, in O(1) (join-idle-queue: Lu et al., Performance Evaluation 68,
// 2011). A claimer tries the slot that it had last, when its worker is otherwise idle: warm, and no
// ring touched.

#ifndef SLOTRING_CLIENT_LIB_SHM_SLOT_POOL_H_
#define SLOTRING_CLIENT_LIB_SHM_SLOT_POOL_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/own_places.h"
#include "client_lib/shm/slot.h"
#include "client_lib/shm/waiting_line.h"

namespace slotring::shm {

inline constexpr SlotIndex kNoSlot = std::numeric_limits<SlotIndex>::max();

// How long a caller sleeps before it looks for itself whether it was forgotten: everybody who would
// have woken it may be dead.
inline constexpr std::uint64_t kSelfCheckNs = 1'000'000'000;
inline MonotonicNs next_self_check(MonotonicNs deadline) {
  const MonotonicNs check = monotonic_now() + kSelfCheckNs;
  return deadline == kNever ? check : std::min(check, deadline);
}

// Whether a caller that has no slot yet goes on trying. Errors: CANCELLED, DEADLINE_EXCEEDED.
Status check_still_wanted(MonotonicNs deadline, const std::stop_token& stop);

struct Claim {
  SlotIndex slot;
  SlotWord word;  // as claimed: generation, owner, CLAIMED
};

class SlotPool {
 public:
  // `segment` outlives this, and so does `own`, where a client notes what it holds; it is the only
  // owner to claim by this object then.
  explicit SlotPool(const ControlSegment& segment, OwnPlaces* own = nullptr)
      : segment_(&segment), line_(segment), own_(own) {}

  const ControlSegment& segment() const { return *segment_; }
  const WaitingLine& line() const { return line_; }
  AtomicWord& word(SlotIndex slot) const { return segment_->slot_word(slot); }

  // Claims a slot of a ready worker, `last` if it is a good one. Nothing when none is free, or when
  // others wait already and it would be out of order.
  [[nodiscard]] std::optional<Claim> try_claim(std::uint16_t owner, SlotIndex last = kNoSlot) const;
  // Claims a slot of an idle worker that runs on another CPU than `cpu`: `last`, or of the one that
  // started a call last, which has its CPU most likely. For who shares its own, on which a worker
  // could not run at the same time. Looks at a few seats.
  [[nodiscard]] std::optional<Claim> try_claim_beside(std::uint16_t owner, SlotIndex last,
                                                      std::uint32_t cpu) const;

  // Claims, waiting in line when no slot is free until `deadline` or until a stop is requested. Who
  // waits looks again once in kSelfCheckNs without a wake, whoever may have died with the wake, and
  // asks `still_served`.
  // Errors: POOL_SATURATED (line full), DEADLINE_EXCEEDED, CANCELLED, WORKER_UNAVAILABLE or
  // POOL_DRAINING (no worker is ready, and none will be); that of `still_served`.
  using StillServed = std::function<Status()>;
  Result<Claim> claim(std::uint16_t owner, SlotIndex last, MonotonicNs deadline,
                      const std::stop_token& stop = {}, const StillServed& still_served = {}) const;

  // Claims for one that stands in line without sleeping there. Nothing: it has a `place` now, and
  // its bell is rung when it is to try again (owner_bell.h). `look_anyway`: also where it was not
  // woken, since it has just claimed, or wakes by itself, once in kSelfCheckNs. Until leave_line()
  // it keeps its place. Never blocks. Errors: those of claim() but for the deadline and the stop.
  Result<std::optional<Claim>> try_claim_in_line(std::uint16_t owner,
                                                 std::optional<WaiterIndex>& place,
                                                 bool look_anyway) const;
  void leave_line(std::uint16_t owner, std::optional<WaiterIndex>& place) const;

  // Claims a slot of this seat's worker and no other, whoever waits in line. Nothing when none is
  // free, or the worker is not ready.
  [[nodiscard]] std::optional<Claim> try_claim_on(std::uint16_t owner, SeatIndex seat) const;

  // The same, waiting until one is free, also for a worker that starts, or that follows a dead one.
  // Callers that wait so are woken all at once, and the fastest has the slot. Who waits looks again
  // once in kSelfCheckNs, as in claim().
  // Errors: DEADLINE_EXCEEDED, CANCELLED, WORKER_UNAVAILABLE (the seat has no worker, and none is
  // due: retired, dormant or vacant, or draining while others are not), POOL_DRAINING (all are);
  // that of `still_served`.
  Result<Claim> claim_on(std::uint16_t owner, SeatIndex seat, MonotonicNs deadline,
                         const std::stop_token& stop = {},
                         const StillServed& still_served = {}) const;

  // Takes `held` to FREE, lists the slot and wakes the first waiter, and all that want this seat.
  // False when the word is no longer that step; nothing was changed then. REQUIRES: held.state ->
  // FREE is an arrow of `actor`.
  [[nodiscard]] bool try_release(SlotIndex slot, const SlotWord& held, Actor actor) const;

  // Takes `held`, a RUNNING step, to ABANDONED, and tells the worker, which may tell its handler.
  // Killed in between, the worker finds out by itself within its next tick. False when the word is
  // no longer that step. REQUIRES: `actor` is the call's client, or the reaper.
  [[nodiscard]] bool try_abandon(SlotIndex slot, const SlotWord& held, Actor actor) const;
  // Tells the owner that its slot, whose word was `seen` before, is REPLIED.
  void tell_owner(SlotIndex slot, const SlotWord& seen) const;
  // Rings the doorbell of the slot's worker, for this slot. `wake_anyway`: the bell may have been
  // scribbled over.
  void ring_worker(SlotIndex slot, bool wake_anyway = false) const;
  // Takes back what words say that `owner` holds and `own` does not know of: somebody scribbled
  // over them. Returns how many slots that were. REQUIRES: made with `own`.
  std::uint32_t disown_strangers(std::uint16_t owner) const;

  // Lists all FREE slots of a seat that became ready, and wakes callers for them. Only the
  // supervisor.
  void publish(SeatIndex seat) const;

  // Wakes those that wait in claim_on(), if there are any: a slot of the seat is FREE, or the
  // seat's word has changed. To be called after that.
  void wake_wanting(SeatIndex seat) const {
    // seq_cst, as the change of the word before it: partner of claim_on(), which sets the bit and
    // then looks at the words. So one of the two sees the other. One load of the line that every
    // claim reads, unless somebody waits.
    if ((segment_->seat(seat).wanted.load(std::memory_order_seq_cst) & layout::kSeatWanted) != 0) {
      wake_all_wanting(seat);
    }
  }
  // For the audit: the same, even where the bit is gone. Its last waker may have died before the
  // system call.
  void wake_all_wanting(SeatIndex seat) const;

  // Puts a FREE slot, whose word says `listed`, into the ring of its worker's depth.
  void push_hint(SlotIndex slot, std::uint32_t depth) const;

  // Takes `listed` away from a slot. For those who popped its hint, or know that there is none.
  void clear_listed(SlotIndex slot) const;

 private:
  MoveResult try_claim_noted(SlotIndex slot, const SlotWord& seen, std::uint16_t owner,
                             bool clear_listed) const;
  std::optional<WaiterIndex> register_waiter(
      std::uint16_t owner, WaitingLine::Wake wake = WaitingLine::Wake::kSleeper) const;
  void leave(WaiterIndex waiter, std::uint16_t owner) const;
  Status take_other_place(WaiterIndex& waiter, std::uint16_t owner) const;
  Error saturated() const;
  std::optional<Claim> try_claim_last(std::uint16_t owner, SlotIndex last) const;
  std::optional<Claim> try_claim_hinted(std::uint16_t owner, SlotIndex slot) const;
  // One that the rings tell of, whoever waits.
  std::optional<Claim> try_claim_listed(std::uint16_t owner) const;
  // The same, or one that only its word tells of: what there is is found. For those in line.
  std::optional<Claim> try_claim_any(std::uint16_t owner, SlotIndex start) const;
  // Of a slot that was found without taking its hint.
  std::optional<Claim> try_claim_unhinted(std::uint16_t owner, SlotIndex slot) const;
  std::optional<Claim> try_claim_scanning(std::uint16_t owner, SlotIndex start) const;
  bool is_ready(SlotIndex slot) const {
    return segment_->seat_word(segment_->seat_of(slot)).state == layout::SeatState::kReady;
  }
  Status check_after_sleep(MonotonicNs deadline, const std::stop_token& stop,
                           const StillServed& still_served) const;

  const ControlSegment* segment_;
  WaitingLine line_;
  OwnPlaces* own_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SLOT_POOL_H_
