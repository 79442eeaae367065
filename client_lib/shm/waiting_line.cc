#include "client_lib/shm/waiting_line.h"

#include <climits>
#include <vector>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/owner_bell.h"

namespace slotring::shm {

using layout::kFlagListed;
using layout::kFlagRingOwner;
using layout::kFlagStirred;
using layout::WaiterState;
using layout::WaiterWord;

namespace {

// Of the supervisor's audit.
using AuditBell = Doorbell<std::atomic<std::uint32_t>>;
constexpr std::uint32_t kSomebodySleeps = 1;

// Replaces the word by change(old), until that succeeds or change() declines by returning nothing.
// Returns the word that was there.
template <class Change>
WaiterWord update(AtomicWord& word, Change change) {
  std::uint64_t seen = word.load(std::memory_order_seq_cst);
  for (;;) {
    const WaiterWord before = WaiterWord::unpack(seen);
    const std::optional<WaiterWord> after = change(before);
    if (!after || word.compare_exchange_strong(seen, after->pack(), std::memory_order_seq_cst)) {
      return before;
    }
  }
}

std::optional<WaiterWord> without_listed(WaiterWord word) {
  word.flags &= static_cast<std::uint8_t>(~kFlagListed);
  return word;
}

}  // namespace

std::optional<WaiterIndex> WaitingLine::try_register(std::uint16_t owner, Wake wake) const {
  const std::uint8_t rings = wake == Wake::kBell ? kFlagRingOwner : std::uint8_t{0};
  const std::uint32_t places = segment_->geometry().max_waiters;
  const std::uint32_t ticket =
      segment_->header().next_ticket.fetch_add(1, std::memory_order_relaxed);
  // Places become vacant about in order, so the ticket's own is the likeliest.
  for (std::uint32_t i = 0; i < places; ++i) {
    const WaiterIndex waiter = (ticket + i) % places;
    AtomicWord& word = segment_->waiter_word(waiter);
    const WaiterWord before = update(word, [&](WaiterWord seen) -> std::optional<WaiterWord> {
      if (seen.state != WaiterState::kVacant) return std::nullopt;
      const auto flags = static_cast<std::uint8_t>((seen.flags & kFlagListed) | rings);
      return WaiterWord{ticket, owner, WaiterState::kWaiting, flags};
    });
    if (before.state == WaiterState::kVacant) {
      enlist(waiter);
      return waiter;
    }
  }
  return std::nullopt;
}

// Puts the index into the line unless it is there already.
void WaitingLine::enlist(WaiterIndex waiter) const {
  AtomicWord& word = segment_->waiter_word(waiter);
  const WaiterWord before = update(word, [](WaiterWord seen) -> std::optional<WaiterWord> {
    if ((seen.flags & kFlagListed) != 0) return std::nullopt;
    seen.flags |= kFlagListed;
    return seen;
  });
  if ((before.flags & kFlagListed) != 0) return;
  // A full line (possible only after deaths or scribbling) leaves the waiter to the audit.
  if (!segment_->waiting_line().try_push(waiter)) update(word, without_listed);
}

bool WaitingLine::sleep(WaiterIndex waiter, MonotonicNs deadline,
                        const std::stop_token& stop) const {
  AtomicWord& word = segment_->waiter_word(waiter);
  ring_audit();
  const std::stop_callback stirs(stop, [this, waiter] { stir(waiter); });
  for (;;) {
    const std::uint64_t seen = word.load(std::memory_order_seq_cst);
    if (WaiterWord::unpack(seen).state != WaiterState::kWaiting) break;
    if (has_passed(deadline)) return false;
    // After the look at the word: a word that is stirred already was stirred after the request, and
    // one that is stirred later is no longer `seen`.
    if (stop.stop_requested()) return false;
    futex_wait(futex_half(word), static_cast<std::uint32_t>(seen), deadline);
  }
  acknowledge(waiter);
  return true;
}

bool WaitingLine::is_woken(WaiterIndex waiter) const {
  return load(waiter).state == WaiterState::kWoken;
}

// Before the caller looks at the words again, so that a wake after this look is a new one.
void WaitingLine::acknowledge(WaiterIndex waiter) const {
  update(segment_->waiter_word(waiter), [](WaiterWord woken) -> std::optional<WaiterWord> {
    woken.state = WaiterState::kWaiting;
    return woken;
  });
  enlist(waiter);
}

// Changes the word of a waiter of this process, so that it does not fall asleep, and wakes it. It
// is no wake that it would have to pass on: the state stays.
void WaitingLine::stir(WaiterIndex waiter) const {
  AtomicWord& word = segment_->waiter_word(waiter);
  update(word, [](WaiterWord seen) -> std::optional<WaiterWord> {
    if (seen.state != WaiterState::kWaiting) return std::nullopt;
    seen.flags |= kFlagStirred;
    return seen;
  });
  futex_wake(futex_half(word), INT_MAX);
}

void WaitingLine::leave(WaiterIndex waiter) const {
  const WaiterWord before =
      update(segment_->waiter_word(waiter), [](WaiterWord seen) -> std::optional<WaiterWord> {
        const auto flags = static_cast<std::uint8_t>(seen.flags & kFlagListed);
        return WaiterWord{seen.ticket, layout::kNoOwner, WaiterState::kVacant, flags};
      });
  if (before.state == WaiterState::kWoken) wake_one();
}

bool WaitingLine::try_wake(WaiterIndex waiter) const {
  AtomicWord& word = segment_->waiter_word(waiter);
  const WaiterWord before = update(word, [](WaiterWord seen) -> std::optional<WaiterWord> {
    if (seen.state == WaiterState::kWaiting) seen.state = WaiterState::kWoken;
    seen.flags &= kFlagRingOwner;  // the caller took the index out of the line
    return seen;
  });
  if (before.state != WaiterState::kWaiting) return false;
  wake(waiter, before);
  return true;
}

void WaitingLine::wake(WaiterIndex waiter, const WaiterWord& seen) const {
  if ((seen.flags & kFlagRingOwner) != 0) {
    ring_owner(*segment_, seen.owner, OwnerBell::kAttention);
  } else {
    futex_wake(futex_half(segment_->waiter_word(waiter)), INT_MAX);
  }
}

bool WaitingLine::wake_one() const {
  Ring line = segment_->waiting_line();
  // Bounded by the line: entries of waiters that left are passed over.
  for (std::uint32_t i = 0; i <= line.capacity(); ++i) {
    const std::optional<std::uint32_t> waiter = line.try_pop();
    if (!waiter) return false;
    if (try_wake(*waiter)) return true;
  }
  return false;
}

void WaitingLine::wake_all() const {
  for (WaiterIndex waiter = 0; waiter < segment_->geometry().max_waiters; ++waiter) {
    AtomicWord& word = segment_->waiter_word(waiter);
    const WaiterWord before = update(word, [](WaiterWord seen) -> std::optional<WaiterWord> {
      if (seen.state != WaiterState::kWaiting) return std::nullopt;
      seen.state = WaiterState::kWoken;
      return seen;
    });
    // Also who was woken before: the waker may have died before it told. Nobody sleeps at a vacant
    // place, or, where somebody died or scribbled, not for longer than until its next look by
    // itself; there may be thousands, and each would cost a system call.
    if (before.state != WaiterState::kVacant) wake(waiter, before);
  }
}

bool WaitingLine::occupied() const {
  for (WaiterIndex waiter = 0; waiter < segment_->geometry().max_waiters; ++waiter) {
    const std::uint64_t word = segment_->waiter_word(waiter).load(std::memory_order_seq_cst);
    if (WaiterWord::unpack(word).state != WaiterState::kVacant) return true;
  }
  return false;
}

std::uint32_t WaitingLine::count_waiting() const {
  std::uint32_t waiting = 0;
  for (WaiterIndex waiter = 0; waiter < segment_->geometry().max_waiters; ++waiter) {
    const std::uint64_t word = segment_->waiter_word(waiter).load(std::memory_order_seq_cst);
    if (WaiterWord::unpack(word).state == WaiterState::kWaiting) ++waiting;
  }
  return waiting;
}

void WaitingLine::evict(std::uint16_t owner) const {
  for (WaiterIndex waiter = 0; waiter < segment_->geometry().max_waiters; ++waiter) {
    const WaiterWord word =
        WaiterWord::unpack(segment_->waiter_word(waiter).load(std::memory_order_seq_cst));
    if (word.owner == owner && word.state != WaiterState::kVacant) leave(waiter);
  }
}

void WaitingLine::mend() const {
  // The words are read before the ring: a place whose entry was pushed before that is not taken for
  // one without. One that somebody is about to push, or to wake, at worst gets a second entry.
  std::vector<bool> missing(segment_->geometry().max_waiters, false);
  for (WaiterIndex waiter = 0; waiter < missing.size(); ++waiter) {
    const WaiterWord word = load(waiter);
    missing[waiter] = (word.flags & kFlagListed) != 0 || word.state == WaiterState::kWaiting;
  }
  segment_->waiting_line().for_each([&](std::uint32_t waiter) { missing[waiter] = false; });
  for (WaiterIndex waiter = 0; waiter < missing.size(); ++waiter) {
    if (!missing[waiter]) continue;
    const WaiterWord before = update(segment_->waiter_word(waiter), without_listed);
    if (before.state == WaiterState::kWaiting) enlist(waiter);
  }
}

bool WaitingLine::vacate(WaiterIndex waiter, const WaiterWord& seen) const {
  AtomicWord& word = segment_->waiter_word(waiter);
  const auto listed = static_cast<std::uint8_t>(seen.flags & kFlagListed);
  const WaiterWord vacant{seen.ticket, layout::kNoOwner, WaiterState::kVacant, listed};
  std::uint64_t expected = seen.pack();
  if (!word.compare_exchange_strong(expected, vacant.pack(), std::memory_order_seq_cst)) {
    return false;
  }
  futex_wake(futex_half(word), INT_MAX);
  return true;
}

bool WaitingLine::is_place_of(WaiterIndex waiter, std::uint16_t owner) const {
  const WaiterWord word = load(waiter);
  return word.owner == owner && word.state != WaiterState::kVacant;
}

WaiterWord WaitingLine::load(WaiterIndex waiter) const {
  return WaiterWord::unpack(segment_->waiter_word(waiter).load(std::memory_order_seq_cst));
}

void WaitingLine::ring_audit() const {
  std::atomic<std::uint32_t>& bell = segment_->header().audit_bell;
  // seq_cst: partner of await_work(), which clears the bell and then looks at the places.
  if (AuditBell(bell).ring(kSomebodySleeps)) futex_wake(futex_half(bell), INT_MAX);
}

bool WaitingLine::take_audit_ring() const {
  return AuditBell(segment_->header().audit_bell).take() != 0;
}

void WaitingLine::mend_audit_bell() const {
  (void)take_audit_ring();
  futex_wake(futex_half(segment_->header().audit_bell), INT_MAX);
}

void WaitingLine::await_work(const std::atomic<bool>& stop,
                             const std::function<bool()>& other_work) const {
  while (!stop.load(std::memory_order_seq_cst)) {
    if (take_audit_ring() || occupied() || other_work() || stop.load(std::memory_order_seq_cst)) {
      return;
    }
    await_ring(kNever);
  }
}

void WaitingLine::await_ring(MonotonicNs until) const {
  std::atomic<std::uint32_t>& word = segment_->header().audit_bell;
  if (AuditBell(word).try_sleep()) futex_wait(futex_half(word), AuditBell::kSleeps, until);
}

void WaitingLine::interrupt_audit() const {
  std::atomic<std::uint32_t>& bell = segment_->header().audit_bell;
  (void)AuditBell(bell).ring(kSomebodySleeps);
  futex_wake(futex_half(bell), INT_MAX);
}

}  // namespace slotring::shm
