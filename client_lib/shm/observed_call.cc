#include "client_lib/shm/observed_call.h"

#include <algorithm>

#include "client_lib/shm/slot.h"

namespace slotring::shm {

std::optional<ObservedCall> observe_call(const ControlSegment& segment, SeatIndex seat,
                                         MonotonicNs now) {
  const layout::SeatRecord& record = segment.seat(seat);
  // Acquire: partner of WorkerSeat's release after it wrote the time.
  const std::uint64_t word = record.running.load(std::memory_order_acquire);
  if (word == 0) return std::nullopt;
  const MonotonicNs since = record.running_since.load(std::memory_order_acquire);
  const MonotonicNs seen = record.interpreter_seen_ns.load(std::memory_order_acquire);
  // The same word again, after the loads above (acquire): the time is its own, not a later call's.
  if (record.running.load(std::memory_order_acquire) != word) return std::nullopt;

  ObservedCall call;
  call.running = layout::RunningWord::unpack(word);
  if (call.running.slot_of_worker >= segment.geometry().slots_per_worker) return std::nullopt;
  call.slot = segment.first_slot(seat) + call.running.slot_of_worker;
  const SlotWord slot = load_slot(segment.slot_word(call.slot));
  call.abandoned = slot.state == SlotState::kAbandoned;
  const bool runs = call.abandoned || slot.state == SlotState::kRunning;
  if (!runs || slot.generation != call.running.generation) return std::nullopt;
  call.run_ns = since < now ? now - since : 0;
  const MonotonicNs last_sign = std::max(since, seen);
  call.unseen_ns = last_sign < now ? std::min(now - last_sign, call.run_ns) : 0;
  const std::uint64_t limit_ns = call_time_limit_ns(segment);
  if (limit_ns != 0) call.hung_after_ns = std::min(limit_ns, kHungAfterNs);
  return call;
}

std::uint64_t call_time_limit_ns(const ControlSegment& segment) {
  const volatile std::uint64_t& limit_ns = segment.header().call_time_limit_ns;
  return limit_ns;
}

}  // namespace slotring::shm
