#include "python_side/native/pulse.h"

#include <algorithm>
#include <climits>

namespace slotring::python {

using layout::SlotState;
using shm::MonotonicNs;

namespace {

constexpr std::uint64_t kTickNs = 1'000'000'000;
constexpr std::uint64_t kMinTickNs = 10'000'000;
constexpr MonotonicNs kOnce = ~MonotonicNs{0};

}  // namespace

Pulse::Pulse(const shm::WorkerSeat& seat)
    : seat_(seat), told_(seat.segment().geometry().slots_per_worker) {}

void Pulse::run(PyObject* cancel) {
  for (;;) {
    Need need = Need::kNothing;
    {
      const GilRelease released;
      need = await_need();
    }
    if (need == Need::kLeave) return;
    signed_at_ = shm::monotonic_now();
    record().interpreter_seen_ns.store(signed_at_, std::memory_order_relaxed);
    if (need == Need::kCancel) tell(cancel);
  }
}

void Pulse::tell(PyObject* cancel) {
  while (const std::optional<layout::RunningWord> abandoned = find_untold(signed_at_)) {
    const Ref call = Ref::steal(PyLong_FromUnsignedLongLong(abandoned->pack()));
    const Ref told =
        call ? Ref::steal(PyObject_CallFunctionObjArgs(cancel, call.get(), nullptr)) : Ref();
    if (!told) PyErr_WriteUnraisable(cancel);
    told_[abandoned->slot_of_worker] = {abandoned->generation,
                                        told.get() == Py_False ? signed_at_ + kTickNs : kOnce};
  }
}

std::optional<layout::RunningWord> Pulse::find_untold(MonotonicNs now) const {
  const shm::SlotIndex first = seat_.segment().first_slot(seat_.index());
  for (std::uint16_t slot = 0; slot < told_.size(); ++slot) {
    const shm::SlotWord word = shm::load_slot(seat_.segment().slot_word(first + slot));
    if (word.state != SlotState::kAbandoned) continue;
    if (word.generation == told_[slot].generation && now < told_[slot].again_at) continue;
    return layout::RunningWord{word.generation, slot, 0};
  }
  return std::nullopt;
}

// Sleeps until the GIL is needed, or until end().
Pulse::Need Pulse::await_need() {
  std::atomic<std::uint32_t>& word = record().cancel_bell;
  for (;;) {
    // Acquire, and before everything that is looked at: a later ring changes it, and ends the wait.
    const std::uint32_t bell = word.load(std::memory_order_acquire);
    if (ended_.load(std::memory_order_relaxed)) return Need::kLeave;
    const MonotonicNs now = shm::monotonic_now();
    MonotonicNs wake_at = now + tick_ns();
    const std::uint64_t sign_every_ns = std::min(2 * tick_ns(), kTickNs);
    const std::optional<shm::ObservedCall> call =
        shm::observe_call(seat_.segment(), seat_.index(), now);
    if (call) {
      ring_audit();
      if (find_untold(now)) return Need::kCancel;
      if (call->run_ns < sign_every_ns) {
        wake_at = std::min(wake_at, now + sign_every_ns - call->run_ns);
      } else if (now - signed_at_ >= sign_every_ns) {
        return Need::kSign;
      }
    } else if (const std::uint64_t calls = record().calls.load(std::memory_order_relaxed);
               calls == calls_at_tick_ && !serves_something()) {
      sleep_till_call(bell);
      continue;
    } else {
      calls_at_tick_ = calls;
    }
    shm::futex_wait(shm::futex_half(word), bell, wake_at);
  }
}

void Pulse::sleep_till_call(std::uint32_t bell) {
  asleep_.store(true, std::memory_order_seq_cst);
  if (!serves_something() && !ended_.load(std::memory_order_seq_cst)) {
    shm::futex_wait(shm::futex_half(record().cancel_bell), bell, shm::kNever);
  }
  asleep_.store(false, std::memory_order_relaxed);
}

// Whether a slot of this seat is in a worker's hands. The words tell what the record does not yet.
bool Pulse::serves_something() const {
  const shm::SlotIndex first = seat_.segment().first_slot(seat_.index());
  const std::uint32_t slots = seat_.segment().geometry().slots_per_worker;
  for (shm::SlotIndex slot = first; slot < first + slots; ++slot) {
    const SlotState state = shm::load_slot(seat_.segment().slot_word(slot)).state;
    if (state == SlotState::kRunning || state == SlotState::kAbandoned) return true;
  }
  return false;
}

void Pulse::wake() {
  if (!asleep_.exchange(false, std::memory_order_seq_cst)) return;
  std::atomic<std::uint32_t>& word = record().cancel_bell;
  word.fetch_add(1, std::memory_order_release);
  shm::futex_wake(shm::futex_half(word), INT_MAX);
}

void Pulse::end() {
  ended_.store(true, std::memory_order_seq_cst);
  std::atomic<std::uint32_t>& word = record().cancel_bell;
  word.fetch_add(1, std::memory_order_release);
  shm::futex_wake(shm::futex_half(word), INT_MAX);
}

// Where calls have a limit, the supervisor looks after those that run; it sleeps while none does.
void Pulse::ring_audit() const {
  if (shm::call_time_limit_ns(seat_.segment()) == 0) return;
  shm::WaitingLine(seat_.segment()).ring_audit();
}

std::uint64_t Pulse::tick_ns() const {
  const std::uint64_t limit_ns = shm::call_time_limit_ns(seat_.segment());
  return limit_ns == 0 ? kTickNs : std::clamp(limit_ns / 4, kMinTickNs, kTickNs);
}

}  // namespace slotring::python
