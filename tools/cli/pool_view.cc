#include "tools/cli/pool_view.h"

#include <algorithm>

#include "client_lib/shm/observed_call.h"
#include "client_lib/shm/waiting_line.h"
#include "tools/cli/observer.h"

namespace slotring::cli {

using layout::ClientState;
using layout::SeatState;
using layout::SlotWord;
using shm::ControlSegment;
using shm::MonotonicNs;

namespace {

// Relaxed throughout: each word is looked at for itself.
template <class T>
T copy(const std::atomic<T>& word) {
  return word.load(std::memory_order_relaxed);
}

std::optional<std::uint64_t> age_ns(MonotonicNs since) {
  const MonotonicNs now = shm::monotonic_now();
  if (since == 0 || since > now) return std::nullopt;
  return now - since;
}

const char* client_state_name(std::uint32_t state) {
  switch (state) {
    case static_cast<std::uint32_t>(ClientState::kVacant):
      return "vacant";
    case static_cast<std::uint32_t>(ClientState::kAttached):
      return "attached";
    case static_cast<std::uint32_t>(ClientState::kReclaiming):
      return "reclaiming";
    case static_cast<std::uint32_t>(ClientState::kLeft):
      return "left";
    default:
      return "corrupt";
  }
}

std::optional<CallView> look_at_call(const ControlSegment& segment, std::uint32_t seat) {
  const auto call = shm::observe_call(segment, seat, shm::monotonic_now());
  if (!call) return std::nullopt;
  CallView view;
  view.slot = call->running.slot_of_worker;
  view.run_ns = call->run_ns;
  view.abandoned = call->abandoned;
  view.hung = call->hung();
  if (call->running.method >= 1 && call->running.method <= layout::kMaxMethods) {
    view.method = shm::load_name(segment.method(call->running.method));
  }
  return view;
}

SeatView look_at_seat(const ControlSegment& segment, std::uint32_t index) {
  const layout::SeatRecord& record = segment.seat(index);
  const layout::SeatWord word = segment.seat_word(index);
  SeatView view;
  view.seat = index;
  view.state = to_string(word.state);
  view.generation = word.generation;
  view.profile = layout::ProfileWord::unpack(copy(record.profile));
  view.pid = copy(record.pid);
  view.restarts = copy(record.restarts);
  view.calls = copy(record.calls);
  view.errors = copy(record.errors);
  view.busy_slots = segment.busy_slots(index);
  if (word.state == SeatState::kReady || word.state == SeatState::kDraining) {
    view.uptime_ns = age_ns(copy(record.ready_ns));
  }
  view.call = look_at_call(segment, index);
  return view;
}

SlotView look_at_slot(const ControlSegment& segment, std::uint32_t index) {
  const SlotWord word = SlotWord::unpack(copy(segment.slot_word(index)));
  SlotView view;
  view.seat = segment.seat_of(index);
  view.slot = index - segment.first_slot(view.seat);
  view.state = to_string(word.state);
  view.generation = word.generation;
  view.listed = word.has(layout::kFlagListed);
  view.caller_sleeps = word.has(layout::kFlagCallerSleeps);
  view.lost = word.has(layout::kFlagLost);
  if (word.owner == layout::kNoOwner) return view;
  view.owner = word.owner;
  view.owner_name = "corrupt";
  if (word.owner < segment.geometry().max_clients) {
    const layout::ClientRecord& client = segment.client(word.owner);
    view.owner_name = shm::load_name(client.name);
    view.owner_pid = copy(client.pid);
  }
  return view;
}

std::optional<ClientView> look_at_client(const ControlSegment& segment, std::uint32_t index) {
  const layout::ClientRecord& record = segment.client(index);
  const std::uint32_t state = copy(record.state);
  if (state == static_cast<std::uint32_t>(ClientState::kVacant)) return std::nullopt;
  ClientView view;
  view.index = index;
  view.state = client_state_name(state);
  view.name = shm::load_name(record.name);
  view.pid = copy(record.pid);
  view.epoch = copy(record.epoch);
  view.calls = copy(record.calls);
  view.errors = copy(record.errors);
  return view;
}

std::uint32_t depth_of(const shm::Ring& ring) {
  std::uint32_t hints = 0;
  ring.for_each([&hints](std::uint32_t) { ++hints; });
  return hints;
}

void look_at_segment(const ControlSegment& segment, PoolView& view) {
  view.geometry = segment.geometry();
  const volatile std::uint64_t& created_ns = segment.header().created_ns;  // read exactly once
  view.uptime_ns = age_ns(created_ns);
  view.call_time_limit_ns = shm::call_time_limit_ns(segment);
  for (std::uint32_t seat = 0; seat < view.geometry.max_workers; ++seat) {
    view.seats.push_back(look_at_seat(segment, seat));
  }
  for (std::uint32_t slot = 0; slot < view.geometry.slots(); ++slot) {
    view.slots.push_back(look_at_slot(segment, slot));
  }
  for (std::uint32_t ring = 0; ring < segment.free_ring_count(); ++ring) {
    view.free_ring_depths.push_back(depth_of(segment.free_ring(ring)));
  }
  for (std::uint32_t index = 0; index < view.geometry.max_clients; ++index) {
    if (std::optional<ClientView> client = look_at_client(segment, index)) {
      view.clients.push_back(*std::move(client));
    }
  }
  view.waiting_callers = shm::WaitingLine(segment).count_waiting();
  // Acquire: partner of the supervisor's release after it wrote a method's record.
  const std::uint32_t methods =
      std::min(segment.header().method_count.load(std::memory_order_acquire), layout::kMaxMethods);
  for (std::uint32_t id = 1; id <= methods; ++id) {
    view.methods.push_back(shm::load_name(segment.method(id)));
  }
}

}  // namespace

Result<PoolView> look_at_pool(const std::string& name_or_path) {
  PoolView view;
  view.socket = shm::socket_path(name_or_path);
  Result<shm::Attachment> joined = observe_pool(name_or_path, "slotring status");
  if (!joined) return std::move(joined).error();
  view.name = joined->pool;
  view.supervisor_pid = joined->supervisor_pid;
  look_at_segment(*joined->segment, view);
  return view;
}

}  // namespace slotring::cli
