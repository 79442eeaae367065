// What a handler asks its caller's tools, what they answer, and the calls that they make meanwhile.

#include <utility>

#include "python_side/native/channel.h"
#include "python_side/native/lane_sink.h"
#include "python_side/native/server.h"

namespace slotring::python {

using shm::LaneFrameKind;
using shm::MonotonicNs;

Result<std::uint64_t> Channel::ask(std::string_view tool, PyObject* argument,
                                   MonotonicNs deadline) {
  if (!attends(wire::FrameFlags::AnswersTools)) {
    return Error{ErrorCode::kStreamRequired, "the caller has no tools, so not '" +
                                                 std::string(tool) +
                                                 "': it must give them with Client::add_tool()"};
  }
  if (!shm::is_name(tool)) {
    return Error{ErrorCode::kInvalidArgument,
                 "a tool's name takes 1 to " + std::to_string(layout::kMaxNameBytes) + " bytes"};
  }
  if (Status entered = enter(); !entered) return std::move(entered).error();
  if (tools_error_) return *tools_error_;
  shm::LaneWriter& lane = lanes().tools_out;
  LaneSink sink(*this, lane, /*with_envelope=*/true, LaneSink::Full::kWaits,
                "the argument of the tool", tool);
  const Result<WrittenReply> written = write_frame(server_->replies(), sink, argument);
  if (!written) return written.error();
  const std::uint32_t number = ++last_question_;
  shm::FrameHead head = lane_head(*call_, layout::ToolCallId{running_, number}.pack());
  head.kind = written->kind;
  head.deadline_ns = shm::earlier(deadline, call_->head.deadline_ns);
  shm::RareHead rare = written->parts();
  rare.method_name = tool;
  Status sent = lane.commit(LaneFrameKind::kToolCall, head, written->bytes, rare);
  if (!sent) return std::move(sent).error();
  questions_.emplace(number, Question{std::string(tool), head.deadline_ns, std::nullopt});
  server_->seat().tell_caller(*call_);
  return number;
}

Result<Ref> Channel::answer(std::uint64_t number) {
  for (;;) {
    if (Status entered = enter(); !entered) return std::move(entered).error();
    if (Status served = serve_tools(); !served) return std::move(served).error();
    const auto question = questions_.find(number);
    if (question == questions_.end()) {
      return Error{ErrorCode::kInvalidArgument, "this question was answered already"};
    }
    if (question->second.answer) {
      return *std::move(questions_.extract(question).mapped().answer);
    }
    if (tools_error_) return *tools_error_;
    const MonotonicNs deadline = question->second.deadline;
    Status waited = await_once([] { return false; }, deadline);
    if (waited) continue;
    Error error = std::move(waited).error();
    if (error.code == ErrorCode::kDeadlineExceeded) {
      error.message = "the tool '" + question->second.tool + "' did not answer in time";
    }
    questions_.erase(number);
    return error;
  }
}

bool Channel::tools_ready() {
  return attends(wire::FrameFlags::AnswersTools) && !tools_error_ && lanes().tools_in.ready();
}

void Channel::release_tools() {
  lanes().tools_in.release();
  server_->seat().tell_caller(*call_);
}

// An error, only when a signal's handler raised an exception.
Status Channel::serve_tools() {
  // Not more than fit at once: a caller that sends without an end must not keep the handler from
  // looking at its time.
  for (std::uint32_t i = 0; i < layout::kToolEntries && server_ != nullptr && tools_ready(); ++i) {
    Result<shm::LaneFrame> frame = lanes().tools_in.next();
    if (!frame) {
      tools_error_ = std::move(frame).error();
    } else if (frame->kind == LaneFrameKind::kToolReply) {
      take_answer(frame->frame);
    } else if (frame->kind == LaneFrameKind::kNested) {
      if (Status served = serve_nested(frame->frame); !served) return served;
    } else {
      tools_error_ = Error{ErrorCode::kBadFrame, "the caller's tools sent no answer and no call"};
    }
  }
  return Done{};
}

void Channel::take_answer(const shm::Frame& frame) {
  const auto question = questions_.find(layout::ToolCallId::unpack(frame.head.call_id).number);
  // One that nobody waits for any more.
  if (question != questions_.end() && !question->second.answer) {
    std::optional<Error> error = shm::error_of(frame);
    question->second.answer = error ? Result<Ref>(*std::move(error)) : take(frame);
  }
  release_tools();
}

// Everything is taken from the frame before the handler runs: deeper calls come in the same lane.
Status Channel::serve_nested(const shm::Frame& frame) {
  shm::RunningCall nested = *call_;
  nested.head = frame.head;
  nested.head.flags = static_cast<std::uint8_t>(wire::FrameFlags::AnswersTools);
  nested.head.deadline_ns = shm::earlier(frame.head.deadline_ns, call_->head.deadline_ns);
  std::string method_name;
  if (frame.rare != nullptr && frame.rare->method_name() != nullptr) {
    method_name = frame.rare->method_name()->str();
  }
  nested.method_name = method_name;
  nested.session = {};
  nested.payload = {};
  nested.rare = nullptr;
  Result<Ref> argument = take(frame);
  release_tools();
  if (!argument) return send_nested_reply(nested.head.call_id, argument.error());
  if (nested_ >= kMaxNestedCalls) {
    return send_nested_reply(
        nested.head.call_id,
        Error{ErrorCode::kInvalidArgument, "calls made by tools are nested more than " +
                                               std::to_string(kMaxNestedCalls) +
                                               " deep; does a tool call the method that asks it?"});
  }
  ++nested_;
  const std::uint32_t outer =
      std::exchange(running_, static_cast<std::uint32_t>(nested.head.call_id));
  const Result<Ref> result = server_->run_nested(nested, *std::move(argument), self_);
  running_ = outer;
  --nested_;
  return send_nested_reply(nested.head.call_id, result);
}

// An error, only when a signal's handler raised an exception. A caller that has gone needs no
// reply.
Status Channel::send_nested_reply(std::uint64_t number, const Result<Ref>& result) {
  if (server_ == nullptr || server_->seat().cancelled(*call_)) return Done{};
  shm::LaneWriter& lane = lanes().tools_out;
  LaneSink sink(*this, lane, /*with_envelope=*/true, LaneSink::Full::kWaits,
                "the reply to the call of a tool");
  shm::FrameHead head = lane_head(*call_, number);
  const Result<WrittenReply> written =
      result ? write_frame(server_->replies(), sink, result->get()) : result.error();
  if (written) {
    head.kind = written->kind;
    if (lane.commit(LaneFrameKind::kNestedReply, head, written->bytes, written->parts())) {
      server_->seat().tell_caller(*call_);
      return Done{};
    }
    head.kind = wire::PayloadKind::Empty;
  }
  if (PyErr_Occurred() != nullptr) return written.error();
  const Error error = written ? Error{ErrorCode::kPayloadTooLarge,
                                      "what describes the reply does not fit into an envelope"}
                              : written.error();
  const Result<std::span<std::byte>> space = sink.space(0, /*with_rare_part=*/true);
  if (!space) return PyErr_Occurred() != nullptr ? Status(space.error()) : Status(Done{});
  (void)lane.commit(LaneFrameKind::kNestedReply, head, 0, {.error = &error}).ok();
  server_->seat().tell_caller(*call_);
  return Done{};
}

}  // namespace slotring::python
