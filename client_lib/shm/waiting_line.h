// Callers that wait for a free slot: bounded, in order of arrival, woken one at a time.
//
// A waiter is one word {ticket | owner | state | flags}; its index goes into a ring (the line). As
// with slots, the ring is a hint and the word is the truth; `listed` keeps an index to about one
// entry.
//
//     VACANT --register--> WAITING --wake_one, by a releaser--> WOKEN --acknowledge--> WAITING
//        ^--------------------leave---------+----------------------'
//
// What makes it safe: a caller registers, then looks at every slot word, and only then sleeps; a
// releaser frees its word, and then looks at the line (all seq_cst). So one of the two sees the
// other. Who leaves with an unused wake passes it on. A waiter stopped between being woken and
// claiming swallows a wake, and a waker killed between taking an index and waking loses one: the
// supervisor's audit, which runs while somebody has a place, wakes again (reclaim.h). tests/models
// checks this with deaths at every step.

#ifndef SLOTRING_CLIENT_LIB_SHM_WAITING_LINE_H_
#define SLOTRING_CLIENT_LIB_SHM_WAITING_LINE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/futex.h"

namespace slotring::shm {

using WaiterIndex = std::uint32_t;

class WaitingLine {
 public:
  // `segment` outlives this.
  explicit WaitingLine(const ControlSegment& segment) : segment_(&segment) {}

  // Whether somebody may be waiting. Cheap; what every release asks.
  bool empty() const { return segment_->waiting_line().empty(); }

  // Wakes the caller that waits longest. False when nobody waits.
  bool wake_one() const;
  void wake_all() const;

  // How a waiter learns that it was woken: it sleeps on its word, or its bell is rung
  // (owner_bell.h).
  enum class Wake : std::uint8_t { kSleeper, kBell };
  // Takes a place in the line for `owner`; nothing when the line is full.
  std::optional<WaiterIndex> try_register(std::uint16_t owner, Wake wake = Wake::kSleeper) const;
  // Sleeps until woken, until `deadline` or until a stop is requested; tells the supervisor that
  // somebody waits. False at the deadline and after the request.
  bool sleep(WaiterIndex waiter, MonotonicNs deadline, const std::stop_token& stop = {}) const;
  // For a waiter that does not sleep: whether it was woken; and that it has seen it, and looks at
  // the words next.
  bool is_woken(WaiterIndex waiter) const;
  void acknowledge(WaiterIndex waiter) const;
  // Gives the place back, and a wake that it did not use to the next.
  void leave(WaiterIndex waiter) const;

  // How many wait, asleep or about to be, and were not woken yet.
  std::uint32_t count_waiting() const;
  // For the audit: whether anybody has a place. One that was woken counts: its waker may have died
  // before the system call, and it still sleeps.
  bool occupied() const;
  // For the audit after a death: a place whose `listed` says that it is in the line, while it is
  // not, stands in line again.
  void mend() const;
  // For the reaper: the places of a client that is proven dead.
  void evict(std::uint16_t owner) const;
  // For repair: takes a place whose word is still `seen` away from whoever it names, and wakes a
  // caller that sleeps there. False when the word is another by now.
  bool vacate(WaiterIndex waiter, const layout::WaiterWord& seen) const;
  // Whether the place is taken, by this owner.
  bool is_place_of(WaiterIndex waiter, std::uint16_t owner) const;

  // Wakes the supervisor's audit, for callers that wait, or for words that are wrong.
  void ring_audit() const;
  // Whether somebody rang since this was asked last.
  bool take_audit_ring() const;
  // For repair: an audit that sleeps behind a bell that was scribbled over sleeps on a sound one.
  void mend_audit_bell() const;
  // Blocks until somebody has a place in the line or rings, or there is `other_work()`, for the
  // supervisor's audit; `stop` ends it, by way of interrupt_audit().
  void await_work(const std::atomic<bool>& stop, const std::function<bool()>& other_work) const;
  // Sleeps until somebody rings, or until then. For the audit, while it has other work.
  void await_ring(MonotonicNs until) const;
  // As ring_audit(), and wakes it even where its bell was scribbled over.
  void interrupt_audit() const;

 private:
  layout::WaiterWord load(WaiterIndex waiter) const;
  bool try_wake(WaiterIndex waiter) const;
  void wake(WaiterIndex waiter, const layout::WaiterWord& seen) const;
  void stir(WaiterIndex waiter) const;
  void enlist(WaiterIndex waiter) const;

  const ControlSegment* segment_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_WAITING_LINE_H_
