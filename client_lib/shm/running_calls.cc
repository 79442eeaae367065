#include "client_lib/shm/running_calls.h"

#include <utility>

namespace slotring::shm {

namespace {

// Relaxed: nobody else writes it, and each word is right by itself.
void add(std::atomic<std::uint64_t>& to, std::uint64_t more) {
  to.store(to.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

}  // namespace

RunningCalls::RunningCalls(const ControlSegment& segment, SeatIndex seat)
    : record_(&segment.seat(seat)),
      stats_(&segment.seat_stats(seat)),
      calls_(segment.geometry().slots_per_worker) {
  // What is there is a predecessor's.
  record_->running.store(0, std::memory_order_relaxed);
}

void RunningCalls::show(std::uint32_t slot, std::uint16_t method, MonotonicNs since) {
  calls_[slot].since = since;
  calls_[slot].method = method;
  // Those that run already have run for longer.
  if (++shown_ == 1) name(slot);
}

void RunningCalls::name(std::uint32_t slot) {
  named_ = slot;
  const Call& call = calls_[slot];
  const layout::RunningWord running{*call.generation, static_cast<std::uint16_t>(slot),
                                    call.method};
  // Release: who sees this time sees that the call before it is over (end).
  record_->running_since.store(call.since, std::memory_order_release);
  // Release: who sees the word sees its time (observed_call.cc).
  record_->running.store(running.pack(), std::memory_order_release);
}

void RunningCalls::end(std::uint32_t slot, ErrorCategory outcome) {
  Call& call = calls_[slot];
  call.generation.reset();
  // One that was refused before it ran was never shown, and took no time worth a look at the clock.
  std::uint64_t ns = 0;
  if (call.since != kNever) {
    if (--shown_ == 0 || slot == named_) name_another_than(slot);
    ns = monotonic_now() - std::exchange(call.since, kNever);
  }
  count(outcome, ns);
}

// The one that has run the longest of those that still do, if any.
void RunningCalls::name_another_than(std::uint32_t slot) {
  record_->running.store(0, std::memory_order_relaxed);
  if (shown_ == 0) return;
  std::optional<std::uint32_t> longest;
  for (std::uint32_t other = 0; other < calls_.size(); ++other) {
    if (other == slot || calls_[other].since == kNever) continue;
    if (!longest || calls_[other].since < calls_[*longest].since) longest = other;
  }
  if (longest) name(*longest);
}

void RunningCalls::count(ErrorCategory outcome, std::uint64_t ns) {
  add(stats_->ended[static_cast<std::size_t>(outcome) % layout::kErrorKinds], 1);
  add(stats_->total_ns, ns);
  add(stats_->latency[layout::latency_bucket(ns)], 1);
  add(record_->calls, 1);
}

}  // namespace slotring::shm
