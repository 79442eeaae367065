// How the thread, or the threads, of a seat wait: for requests, and for the caller of a call.

#include <climits>
#include <memory>
#include <utility>

#include "client_lib/shm/worker_seat.h"

namespace slotring::shm {

Status WorkerSeat::share() {
  auto shared = std::make_unique<SeatWaiting>(
      segment().seat(index()).bell, static_cast<std::uint32_t>(slots_.size()), waiting_.budget());
  if (Status opened = shared->open_event_fd(); !opened) return opened;
  // The predecessor's requests.
  shared->give_back(std::exchange(to_look_at_, 0), /*more=*/false);
  shared_ = std::move(shared);
  return Done{};
}

void WorkerSeat::wait(MonotonicNs deadline, std::uint32_t seen) {
  if (shared_) return shared_->await_request(deadline, seen);
  if (std::exchange(interrupted_, false)) return;
  std::atomic<std::uint32_t>& word = segment().seat(index()).bell;
  waiting_.wait([this] { return pending(); },
                [&] {
                  let_go_of_strangers();
                  give_back_read_replies();
                  if (bell_.try_sleep()) futex_wait(futex_half(word), Bell::kSleeps, deadline);
                },
                deadline);
}

void WorkerSeat::interrupt() {
  if (shared_) return shared_->interrupt();
  if (bell_.ring(Bell::kAttention)) futex_wake(futex_half(segment().seat(index()).bell), INT_MAX);
}

void WorkerSeat::tell_caller(const RunningCall& call) {
  AtomicWord& word = pool_.word(call.slot);
  if (try_take_flag(word, call.word, layout::kFlagCallerSleeps)) {
    futex_wake(futex_half(word), INT_MAX);
  }
}

WorkerSeat::CallerWait WorkerSeat::await_caller(const RunningCall& call,
                                                const std::function<bool()>& done,
                                                MonotonicNs deadline) {
  if (shared_) return await_caller_beside_others(call, done, deadline);
  const auto over = [&] { return done() || cancelled(call) || interrupted_; };
  const bool ended = waiting_for_caller_.wait(
      over, [&] { sleep_for_caller(call, over, deadline); }, deadline);
  if (done()) return CallerWait::kDone;
  if (cancelled(call)) return CallerWait::kGone;
  if (!ended) return CallerWait::kDeadline;
  interrupted_ = false;
  return CallerWait::kAttention;
}

WorkerSeat::CallerWait WorkerSeat::await_caller_beside_others(const RunningCall& call,
                                                              const std::function<bool()>& done,
                                                              MonotonicNs deadline) {
  const std::uint32_t seen = shared_->interrupts();
  const auto over = [&] { return done() || cancelled(call); };
  while (!over()) {
    if (shared_->interrupts() != seen) return CallerWait::kAttention;
    if (has_passed(deadline)) return CallerWait::kDeadline;
    shared_->await_slot(
        call.slot - first_slot_, [&] { ask_to_be_rung(call); }, over, next_self_check(deadline));
  }
  return done() ? CallerWait::kDone : CallerWait::kGone;
}

// After it (seq_cst): either the caller's frame is seen here, or the caller sees the flag and
// rings.
void WorkerSeat::ask_to_be_rung(const RunningCall& call) {
  AtomicWord& word = pool_.word(call.slot);
  SlotWord seen = load_slot(word);
  while (seen.same_step(call.word) && !seen.has(layout::kFlagWorkerWaits)) {
    (void)try_set_flags(word, seen, static_cast<SlotFlags>(seen.flags | layout::kFlagWorkerWaits));
  }
}

void WorkerSeat::sleep_for_caller(const RunningCall& call, const std::function<bool()>& over,
                                  MonotonicNs deadline) {
  ask_to_be_rung(call);
  if (over()) return;
  if (bell_.rung()) return take_bits();
  // Woken by itself now and then: whoever abandoned the call may have died before it rang.
  if (bell_.try_sleep()) {
    futex_wait(futex_half(segment().seat(index()).bell), Bell::kSleeps, next_self_check(deadline));
  }
}

bool WorkerSeat::cancelled(const RunningCall& call) const {
  return !load_slot(pool_.word(call.slot)).same_step(call.word);
}

}  // namespace slotring::shm
