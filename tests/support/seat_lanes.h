// What handlers do to the lanes of their call, in C++: for the answers of a SeatThread. None waits
// longer than the caller is there.

#ifndef SLOTRING_TESTS_SUPPORT_SEAT_LANES_H_
#define SLOTRING_TESTS_SUPPORT_SEAT_LANES_H_

#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "client_lib/shm/worker_seat.h"

namespace slotring::testing {

using shm::LaneFrameKind;
using shm::RunningCall;
using shm::WorkerSeat;

// False: the caller has gone.
inline bool await_caller(WorkerSeat& seat, const RunningCall& call,
                         const std::function<bool()>& done) {
  for (;;) {
    const WorkerSeat::CallerWait end = seat.await_caller(call, done, shm::kNever);
    if (end == WorkerSeat::CallerWait::kDone) return true;
    if (end != WorkerSeat::CallerWait::kAttention) return false;
  }
}

// Waits for room. False: the caller has gone.
inline bool send_frame(WorkerSeat& seat, const RunningCall& call, shm::LaneWriter& lane,
                       LaneFrameKind kind, std::string_view text, shm::FrameHead head = {},
                       const shm::RareHead& rare = {}) {
  const bool with_envelope = &lane == &seat.lanes(call).tools_out;
  if (!await_caller(seat, call, [&] { return lane.has_room(text.size(), with_envelope); })) {
    return false;
  }
  const auto space = lane.space(text.size(), with_envelope);
  if (!space) return false;
  std::memcpy(space->data(), text.data(), text.size());
  head.kind = wire::PayloadKind::Bytes;
  const bool sent = lane.commit(kind, head, text.size(), rare).ok();
  seat.tell_caller(call);
  return sent;
}

inline bool send_item(WorkerSeat& seat, const RunningCall& call, std::string_view text) {
  return send_frame(seat, call, seat.lanes(call).stream_out, LaneFrameKind::kItem, text);
}

inline std::string text_of_frame(const shm::LaneFrame& frame) {
  return std::string(reinterpret_cast<const char*>(frame.frame.payload.data()),
                     frame.frame.payload.size());
}

// Nothing after the last, or when the caller has gone.
inline std::optional<std::string> read_item(WorkerSeat& seat, const RunningCall& call) {
  shm::LaneReader& lane = seat.lanes(call).stream_in;
  if (!await_caller(seat, call, [&] { return lane.ready(); })) return std::nullopt;
  const shm::LaneFrame frame = lane.next().value();
  std::optional<std::string> text;
  if (frame.kind == LaneFrameKind::kItem) text = text_of_frame(frame);
  lane.release();
  seat.tell_caller(call);
  return text;
}

inline void reply_text(WorkerSeat& seat, const RunningCall& call, std::string_view text) {
  const auto space = seat.reply_space(call, text.size());
  std::memcpy(space->data(), text.data(), text.size());
  (void)seat.reply(call, wire::PayloadKind::Bytes, text.size()).ok();
}

// False: the caller has gone.
inline bool ask_tool(WorkerSeat& seat, const RunningCall& call, std::string_view tool,
                     std::string_view argument, layout::ToolCallId id) {
  return send_frame(seat, call, seat.lanes(call).tools_out, LaneFrameKind::kToolCall, argument,
                    {.call_id = id.pack(), .generation = call.word.generation},
                    {.method_name = tool});
}

// What a nested call with this argument and number is answered with.
using OnNested = std::function<std::string(const std::string&, std::uint32_t)>;

// What the tool that was asked last answers: its text, or "CODE: message".
inline std::string await_tool(WorkerSeat& seat, const RunningCall& call, layout::ToolCallId id,
                              const OnNested& on_nested = {}) {
  shm::CallLanes& lanes = seat.lanes(call);
  for (;;) {
    if (!await_caller(seat, call, [&] { return lanes.tools_in.ready(); })) return "gone";
    const shm::LaneFrame frame = lanes.tools_in.next().value();
    const std::optional<Error> error = shm::error_of(frame.frame);
    std::string text = error ? error->to_string() : text_of_frame(frame);
    if (frame.kind == LaneFrameKind::kToolReply) {
      if (frame.frame.head.call_id != id.pack()) text = "the reply to another call";
      lanes.tools_in.release();
      seat.tell_caller(call);
      return text;
    }
    const shm::FrameHead reply{.call_id = frame.frame.head.call_id,
                               .generation = call.word.generation};
    // Before it is run: it may ask for tools itself, and so on.
    lanes.tools_in.release();
    seat.tell_caller(call);
    const std::string answer =
        on_nested ? on_nested(text, static_cast<std::uint32_t>(reply.call_id)) : "";
    send_frame(seat, call, lanes.tools_out, LaneFrameKind::kNestedReply, answer, reply);
  }
}

inline std::string call_tool(WorkerSeat& seat, const RunningCall& call, std::string_view tool,
                             std::string_view argument, layout::ToolCallId id = {0, 1},
                             const OnNested& on_nested = {}) {
  if (!ask_tool(seat, call, tool, argument, id)) return "gone";
  return await_tool(seat, call, id, on_nested);
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_SEAT_LANES_H_
