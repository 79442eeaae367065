#include "python_side/native/channel.h"

#include <algorithm>
#include <utility>

#include "python_side/native/argument.h"
#include "python_side/native/server.h"

namespace slotring::python {

using shm::LaneFrameKind;
using shm::MonotonicNs;

namespace {

shm::FrameHead head_of(const shm::RunningCall& call, std::uint64_t number) {
  shm::FrameHead head;
  head.call_id = number;
  head.generation = call.word.generation;
  return head;
}

bool passed(MonotonicNs deadline) {
  return deadline != shm::kNever && shm::monotonic_now() >= deadline;
}

constexpr char kItemText[] = "an item of the stream";
constexpr char kNoReader[] =
    "the handler streams, and its caller reads no stream: it must use Client::stream()";

}  // namespace

// A frame in a lane that this worker writes.
class LaneSink final : public PayloadSink {
 public:
  enum class Full : bool { kWaits, kFails };

  // All outlive this. `what` is written, and of `name`, if it has one: for messages.
  LaneSink(Channel& channel, shm::LaneWriter& lane, bool with_envelope, Full when_full,
           std::string_view what, std::string_view name = {})
      : channel_(channel),
        lane_(lane),
        with_envelope_(with_envelope),
        when_full_(when_full),
        what_(what),
        name_(name) {}

  Result<std::span<std::byte>> space(std::uint64_t bytes, bool with_rare_part) override {
    const bool with_envelope = with_envelope_ || with_rare_part;
    if (!lane_.has_room(bytes, with_envelope)) {
      if (when_full_ == Full::kFails) {
        channel_.room_bytes_ = bytes;
        channel_.room_with_envelope_ = with_envelope;
        was_full_ = true;
        return Error{ErrorCode::kInternal, "no room in the lane"};
      }
      Status room = channel_.await([&] { return lane_.has_room(bytes, with_envelope); });
      if (!room) return std::move(room).error();
    }
    return lane_.space(bytes, with_envelope);
  }
  std::uint64_t max_bytes() const override { return lane_.max_bytes(with_envelope_); }
  std::string what() const override {
    const std::string what(what_);
    return name_.empty() ? what : what + " '" + std::string(name_) + "'";
  }

  bool was_full() const { return was_full_; }

 private:
  Channel& channel_;
  shm::LaneWriter& lane_;
  bool with_envelope_;
  Full when_full_;
  std::string_view what_;
  std::string_view name_;
  bool was_full_ = false;
};

namespace {

// Converts `object` into the sink; what is empty has its place there too.
Result<WrittenReply> write_frame(ReplyWriter& writer, PayloadSink& sink, PyObject* object) {
  Result<WrittenReply> written = writer.write(sink, object);
  if (written && written->kind == wire::PayloadKind::Empty) {
    Result<std::span<std::byte>> space = sink.space(0, /*with_rare_part=*/false);
    if (!space) return std::move(space).error();
  }
  return written;
}

}  // namespace

Channel::Channel(PyObject* self, Server& server, const shm::RunningCall& call)
    : self_(self), server_(&server), call_(&call), flags_(call.head.flags) {}

void Channel::end() {
  server_ = nullptr;
  call_ = nullptr;
}

shm::CallLanes& Channel::lanes() const { return server_->seat().lanes(*call_); }

Error Channel::gone() const {
  if (server_ == nullptr) return Error{ErrorCode::kCancelled, "the call is over"};
  return Error{ErrorCode::kCancelled, "the caller has gone"};
}

Status Channel::enter() const {
  if (server_ == nullptr) return gone();
  if (waiting_) {
    return Error{ErrorCode::kInvalidArgument,
                 "another thread waits for the same caller; use the stream and the tools of a call "
                 "from one thread at a time"};
  }
  return Done{};
}

Status Channel::may_send() const {
  if (!attends(wire::FrameFlags::ReadsStream)) return Error{ErrorCode::kStreamRequired, kNoReader};
  if (Status entered = enter(); !entered) return entered;
  if (server_->seat().cancelled(*call_)) return gone();
  return Done{};
}

Status Channel::send_to(PayloadSink& sink, PyObject* item) {
  const Result<WrittenReply> written = write_frame(server_->replies(), sink, item);
  if (!written) return written.error();
  shm::FrameHead head = head_of(*call_, call_->head.call_id);
  head.kind = written->kind;
  Status sent =
      lanes().stream_out.commit(LaneFrameKind::kItem, head, written->bytes, written->parts());
  if (sent) server_->seat().tell_caller(*call_);
  return sent;
}

// Bytes, as most items are, straight into the lane. False: nothing has changed, and send_to() does
// it, waits for room, or says why not. REQUIRES: may_send().
bool Channel::try_send_bytes(PyObject* item) {
  if (Py_TYPE(item) != &PyBytes_Type) return false;
  const std::span bytes(reinterpret_cast<const std::byte*>(PyBytes_AsString(item)),
                        static_cast<std::size_t>(PyBytes_Size(item)));
  if (!lanes().stream_out.try_write(wire::PayloadKind::Bytes, bytes)) return false;
  server_->seat().tell_caller(*call_);
  return true;
}

Status Channel::send(PyObject* item) {
  if (Status may = may_send(); !may) return may;
  if (try_send_bytes(item)) return Done{};
  LaneSink sink(*this, lanes().stream_out, /*with_envelope=*/false, LaneSink::Full::kWaits,
                kItemText);
  return send_to(sink, item);
}

Result<bool> Channel::try_send(PyObject* item) {
  if (Status may = may_send(); !may) return std::move(may).error();
  if (try_send_bytes(item)) return true;
  LaneSink sink(*this, lanes().stream_out, /*with_envelope=*/false, LaneSink::Full::kFails,
                kItemText);
  Status sent = send_to(sink, item);
  if (sent) return true;
  if (sink.was_full()) return false;
  return std::move(sent).error();
}

// Code of the user's may run meanwhile (a collection of garbage, the import of numpy), which must
// not read on in the lane.
Result<Ref> Channel::take(const shm::Frame& frame) {
  waiting_ = true;
  Result<Ref> object = private_argument(frame, server_->area_type());
  waiting_ = false;
  return object;
}

Result<std::optional<Ref>> Channel::receive() {
  if (incoming_ended_ || !attends(wire::FrameFlags::WritesStream)) return std::optional<Ref>();
  if (Status entered = enter(); !entered) return std::move(entered).error();
  shm::LaneReader& lane = lanes().stream_in;
  if (!lane.ready()) {
    Status ready = await([&] { return lane.ready(); });
    if (!ready) return std::move(ready).error();
  }
  const Result<shm::LaneFrame> frame = lane.next();
  std::optional<Result<Ref>> item;
  if (!frame || frame->kind != LaneFrameKind::kItem) {
    incoming_ended_ = true;
  } else {
    item = take(frame->frame);
  }
  lane.release();
  server_->seat().tell_caller(*call_);
  if (!frame) return frame.error();
  if (!item) return std::optional<Ref>();
  if (!*item) return item->error();
  return std::optional<Ref>(*std::move(*item));
}

Result<std::uint64_t> Channel::ask(std::string_view tool, PyObject* argument,
                                   MonotonicNs deadline) {
  if (!attends(wire::FrameFlags::AnswersTools)) {
    return Error{ErrorCode::kStreamRequired, "the caller has no tools, so not '" +
                                                 std::string(tool) +
                                                 "': it must give them with Client::add_tool()"};
  }
  if (tool.empty() || tool.size() > layout::kMaxNameBytes) {
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
  shm::FrameHead head = head_of(*call_, layout::ToolCallId{running_, number}.pack());
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

Result<bool> Channel::ready(std::int64_t what) {
  if (what == kItem && (incoming_ended_ || !attends(wire::FrameFlags::WritesStream))) return true;
  if (server_ == nullptr) return true;
  if (Status entered = enter(); !entered) return std::move(entered).error();
  if (Status served = serve_tools(); !served) return std::move(served).error();
  if (server_->seat().cancelled(*call_) || tools_error_) return true;
  if (what == kItem) return lanes().stream_in.ready();
  if (what == kRoom) return lanes().stream_out.has_room(room_bytes_, room_with_envelope_);
  const auto question = questions_.find(static_cast<std::uint64_t>(what));
  return question == questions_.end() || question->second.answer.has_value() ||
         passed(question->second.deadline);
}

MonotonicNs Channel::announce(std::int64_t what) {
  if (server_ == nullptr) return shm::monotonic_now();
  server_->seat().ask_to_be_rung(*call_);
  const auto question = questions_.find(static_cast<std::uint64_t>(what));
  return shm::next_self_check(question == questions_.end() ? shm::kNever
                                                           : question->second.deadline);
}

Status Channel::wait(std::int64_t what) {
  for (;;) {
    Result<bool> there = ready(what);
    if (!there) return std::move(there).error();
    if (*there) return Done{};
    MonotonicNs deadline = call_->head.deadline_ns;
    std::function<bool()> done = [] { return false; };
    if (what == kItem) {
      done = [this] { return lanes().stream_in.ready(); };
    } else if (what == kRoom) {
      done = [this] { return lanes().stream_out.has_room(room_bytes_, room_with_envelope_); };
    } else {
      deadline = questions_.at(static_cast<std::uint64_t>(what)).deadline;
    }
    Status waited = await_once(done, deadline);
    // Whoever asks for it next gets the error, and learns why.
    if (!waited) return PyErr_Occurred() != nullptr ? waited : Status(Done{});
  }
}

Status Channel::await(const std::function<bool()>& done) {
  for (;;) {
    if (Status served = serve_tools(); !served) return served;
    if (server_ == nullptr) return gone();
    if (done()) return Done{};
    if (Status waited = await_once(done, call_->head.deadline_ns); !waited) return waited;
  }
}

Status Channel::await_once(const std::function<bool()>& done, MonotonicNs deadline) {
  using CallerWait = shm::WorkerSeat::CallerWait;
  // Before the wait, which is over at once while the caller sends on.
  if (!done()) {
    if (server_->seat().cancelled(*call_)) return gone();
    if (passed(deadline)) {
      return Error{ErrorCode::kDeadlineExceeded, "the call's deadline has passed"};
    }
  }
  waiting_ = true;
  const CallerWait ended = server_->await_caller(
      *call_, [&] { return done() || tools_ready(); }, deadline);
  waiting_ = false;
  switch (ended) {
    case CallerWait::kDone:
      return Done{};
    case CallerWait::kGone:
      return gone();
    case CallerWait::kDeadline:
      return Error{ErrorCode::kDeadlineExceeded, "the call's deadline has passed"};
    case CallerWait::kAttention:
      break;
  }
  if (PyErr_CheckSignals() == 0) return Done{};
  return Error{ErrorCode::kInternal, "a signal's handler raised an exception"};
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
  shm::FrameHead head = head_of(*call_, number);
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
