// ClientCore's side of lanes: calls that attend to a stream, or answer tools, while they run.

#include <algorithm>
#include <utility>

#include "client_lib/client_core.h"

namespace slotring::internal {

using shm::SlotState;
using shm::SlotWord;

void ClientCore::attend_to_stream(const Lease& lease, std::uint8_t flags,
                                  std::uint64_t window_bytes) {
  sides_[lease.slot_].attends = flags;
  sides_[lease.slot_].window_bytes = window_bytes;
}

void ClientCore::begin_lanes(const Lease& lease, shm::FrameHead& head, shm::RareHead& rare) {
  SlotSide& side = sides_[lease.slot_];
  if (side.attends == 0) side.window_bytes = shm::kDefaultWindowBytes;
  if (side.tools != nullptr) {
    side.attends |= static_cast<std::uint8_t>(wire::FrameFlags::AnswersTools);
  }
  // Two windows stand in an area beside the payload.
  const std::uint64_t most = joined_.requests->area_bytes() / 4;
  const std::uint64_t window = std::max(std::min(side.window_bytes, most), shm::kMinWindowBytes);
  side.window_bytes = window;
  if (!side.lanes) {
    side.lanes = std::make_unique<shm::CallLanes>(side.writer, *joined_.replies);
    side.desk = std::make_unique<ToolDesk>(*this, *side.lanes);
    side.turn = std::make_unique<WordTurn>();
  }
  side.lanes->begin(joined_.requests->area(lease.slot_), joined_.replies->area(lease.slot_),
                    lease.generation_, window);
  if (side.tools != nullptr) side.desk->begin(*side.tools);
  head.flags = side.attends;
  // The worker's default needs no words.
  if (window != shm::kDefaultWindowBytes) rare.window_bytes = window;
}

void ClientCore::tell_worker(const Lease& lease) const {
  const SlotWord running = word_of(lease, SlotState::kRunning);
  if (shm::try_take_flag(pool_.word(lease.slot_), running, layout::kFlagWorkerWaits)) {
    pool_.ring_worker(lease.slot_);
  }
}

ClientCore::WaitEnd ClientCore::await_reply_and_tools(const Lease& lease) {
  SlotSide& side = sides_[lease.slot_];
  for (;;) {
    const WaitEnd end =
        await_lanes(lease, side.waiting, lease.deadline_ns_, [&] { return side.desk->pending(); });
    if (end != WaitEnd::kReady) return end;
    if (!side.desk->attend(lease)) return WaitEnd::kBroken;
    // A question that nobody has time for any more stays where it is, and stays ready.
    if (stop_requested(lease) || shm::has_passed(lease.deadline_ns_)) return WaitEnd::kGivenUp;
  }
}

void ClientCore::end_unread(Lease& lease, ErrorCategory outcome) {
  const CallMark mark = sides_[lease.slot_].mark;
  release(lease);
  if (guard_.in_child()) return;
  joined_.segment->client(owner_).calls.fetch_add(1, std::memory_order_relaxed);
  count_lease(mark, outcome);
}

Status ClientCore::add_tool(std::string_view name, Tool tool) {
  if (Status usable = check_process(); !usable) return usable;
  if (!shm::is_name(name)) {
    return Error{ErrorCode::kInvalidArgument, "a tool's name has 1 to 63 bytes"};
  }
  if (!tool) return Error{ErrorCode::kInvalidArgument, "a tool needs a function to be called"};
  const std::scoped_lock lock(adding_tools_);
  auto grown = tool_tables_.empty() ? std::make_unique<ToolTable>()
                                    : std::make_unique<ToolTable>(*tool_tables_.back());
  if (!grown->try_add(name, std::move(tool))) {
    return Error{ErrorCode::kAlreadyExists, "the client has a tool \"" + std::string(name) + '"'};
  }
  // Calls that run look at the one before, which stays.
  tool_tables_.push_back(std::move(grown));
  // Release: partner of the acquire in submit().
  tools_.store(tool_tables_.back().get(), std::memory_order_release);
  return Done{};
}

}  // namespace slotring::internal
