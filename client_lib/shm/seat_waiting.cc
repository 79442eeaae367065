#include "client_lib/shm/seat_waiting.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "client_lib/shm/memory.h"

namespace slotring::shm {

SeatWaiting::SeatWaiting(std::atomic<std::uint32_t>& bell, std::uint32_t slots,
                         const WaitBudget& budget)
    : word_(bell), bell_(bell), bit_is_one_slot_(slots <= Bell::kPendingBits), waiting_(budget) {}

std::uint32_t SeatWaiting::take_requests() {
  const std::lock_guard lock(mutex_);
  // A leader may sleep on the bell: it takes what is rung, nobody else does.
  if (leader_ == nullptr && bell_.rung()) hand_out(bell_.take());
  more_ = false;
  return std::exchange(requests_, 0);
}

void SeatWaiting::give_back(std::uint32_t bits, bool more) {
  if (bits == 0 && !more) return;
  const std::lock_guard lock(mutex_);
  requests_ |= bits;
  more_ = more_ || more;
  wake_one_for_request();
}

bool SeatWaiting::pending() {
  const std::lock_guard lock(mutex_);
  return requests_ != 0 || more_ || bell_.rung();
}

void SeatWaiting::interrupt() {
  const std::lock_guard lock(mutex_);
  // Release: who acquires the count sees what was set before.
  interrupts_.fetch_add(1, std::memory_order_release);
  for (Waiter* waiter : waiters_) signal(*waiter);
  tell();
}

void SeatWaiting::await_request(MonotonicNs deadline, std::uint32_t seen) {
  Waiter self;
  std::unique_lock lock(mutex_);
  enter(self);
  while (!self.done && requests_ == 0 && !more_ && interrupts() == seen) {
    if (has_passed(deadline)) break;
    wait_once(self, lock, deadline);
  }
  leave(self);
}

void SeatWaiting::await_interrupt(MonotonicNs deadline, std::uint32_t seen) {
  Waiter self;
  self.slot = Waiter::kForNothing;
  std::unique_lock lock(mutex_);
  enter(self);
  while (interrupts() == seen && (deadline == kNever || monotonic_now() < deadline)) {
    wait_once(self, lock, deadline);
  }
  leave(self);
}

void SeatWaiting::await_slot(std::uint32_t slot_of_worker, const std::function<void()>& announce,
                             const std::function<bool()>& over, MonotonicNs deadline) {
  Waiter self;
  self.slot = slot_of_worker;
  const std::uint32_t seen = interrupts();
  std::unique_lock lock(mutex_);
  enter(self);
  lock.unlock();
  for (;;) {
    // Only now: a bit that is taken from here on comes to this waiter.
    announce();
    if (over()) break;
    lock.lock();
    // What over() has not seen yet is signalled by `done`.
    while (!self.done && interrupts() == seen) {
      const MonotonicNs now = monotonic_now();
      if (deadline != kNever && now >= deadline) break;
      wait_once(self, lock, deadline);
    }
    const bool ended = !std::exchange(self.done, false);
    lock.unlock();
    if (ended) break;
  }
  lock.lock();
  leave(self);
}

void SeatWaiting::listen() {
  Waiter self;
  self.slot = Waiter::kForNothing;
  std::unique_lock lock(mutex_);
  listening_ = true;
  enter(self);
  while (!listening_ended_.load(std::memory_order_relaxed)) wait_once(self, lock, kNever);
  listening_ = false;
  listening_ended_.store(false, std::memory_order_relaxed);  // it may listen again
  leave(self);
}

void SeatWaiting::end_listening() {
  listening_ended_.store(true, std::memory_order_relaxed);
  interrupt();
}

void SeatWaiting::heard() {
  const std::lock_guard lock(mutex_);
  told_ = false;
  eventfd_t count = 0;
  ::eventfd_read(event_.get(), &count);
}

Status SeatWaiting::open_event_fd() {
  event_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event_.valid()) return system_error("eventfd", errno);
  return Done{};
}

void SeatWaiting::enter(Waiter& waiter) { waiters_.push_back(&waiter); }

void SeatWaiting::leave(Waiter& waiter) {
  waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &waiter));
  // Somebody must lead; whoever is told so and leaves instead tells the next.
  if (leader_ == nullptr && !waiters_.empty()) signal(*waiters_.back());
}

void SeatWaiting::wait_once(Waiter& waiter, std::unique_lock<std::mutex>& lock,
                            MonotonicNs deadline) {
  if (leader_ == nullptr) return lead(waiter, lock, deadline);
  lock.unlock();
  futex_wait(futex_half(waiter.signal), 0, deadline);
  lock.lock();
  waiter.signal.store(0, std::memory_order_relaxed);
}

void SeatWaiting::lead(Waiter& waiter, std::unique_lock<std::mutex>& lock, MonotonicNs deadline) {
  leader_ = &waiter;
  lock.unlock();
  (void)waiting_.wait(
      [&] { return bell_.rung() || waiter.signal.load(std::memory_order_relaxed) != 0; },
      [&] {
        if (bell_.try_sleep()) futex_wait(futex_half(word_), Bell::kSleeps, deadline);
      },
      deadline);
  lock.lock();
  leader_ = nullptr;
  waiter.signal.store(0, std::memory_order_relaxed);
  if (bell_.rung()) hand_out(bell_.take(), &waiter);
}

void SeatWaiting::hand_out(std::uint32_t taken, Waiter* taker) {
  std::uint32_t bits = taken & Bell::kPendingMask;
  if (bits == 0) return;
  std::uint32_t of_callers = 0;
  for (Waiter* waiter : waiters_) {
    if (waiter->slot >= Waiter::kForNothing) continue;
    const std::uint32_t bit = Bell::bit_of(waiter->slot);
    if ((bits & bit) == 0) continue;
    waiter->done = true;
    signal(*waiter);
    of_callers |= bit;
  }
  // The slot of who waits for its caller runs: no request can be there. Where a bit is of several
  // slots, it may be of another.
  if (bit_is_one_slot_) bits &= ~of_callers;
  requests_ |= bits;
  if (bits != 0) wake_one_for_request(taker);
  tell();
}

void SeatWaiting::wake_one_for_request(Waiter* taker) {
  tell();
  if (taker != nullptr && taker->slot == Waiter::kForRequest) {
    taker->done = true;
    return;
  }
  // Who was woken already will wake the next. Who came last was awake last.
  const auto waits = [](const Waiter* waiter) { return waiter->slot == Waiter::kForRequest; };
  if (std::any_of(waiters_.begin(), waiters_.end(),
                  [&](const Waiter* waiter) { return waits(waiter) && waiter->done; })) {
    return;
  }
  const auto found = std::find_if(waiters_.rbegin(), waiters_.rend(), waits);
  if (found == waiters_.rend()) return;
  (*found)->done = true;
  signal(**found);
}

void SeatWaiting::signal(Waiter& waiter) {
  waiter.signal.store(1, std::memory_order_relaxed);
  if (&waiter != leader_) {
    futex_wake(futex_half(waiter.signal), 1);
  } else if (bell_.ring(Bell::kAttention)) {
    futex_wake(futex_half(word_), INT_MAX);
  }
}

void SeatWaiting::tell() {
  if (!listening_ || std::exchange(told_, true)) return;
  ::eventfd_write(event_.get(), 1);
}

}  // namespace slotring::shm
