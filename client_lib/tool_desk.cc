#include "client_lib/tool_desk.h"

#include <algorithm>
#include <utility>

#include "client_lib/client_core.h"
#include "client_lib/lane_payload.h"
#include "client_lib/reply_view.h"

namespace slotring::internal {

using layout::LaneFrameKind;
using shm::earlier;
using shm::has_passed;
using shm::kNever;
using shm::MonotonicNs;
using WaitEnd = ClientCore::WaitEnd;

thread_local ToolDesk::Running* ToolDesk::innermost_ = nullptr;

namespace {

Error late_nested_error() {
  return Error{ErrorCode::kDeadlineExceeded,
               "the deadline passed before the nested call was answered"};
}

Error too_large(const char* what, std::size_t bytes, std::uint64_t most) {
  return Error{ErrorCode::kPayloadTooLarge, std::string(what) + " of " + std::to_string(bytes) +
                                                " bytes is larger than its call's window takes, " +
                                                std::to_string(most)};
}

}  // namespace

ToolDesk::ToolDesk(ClientCore& core, shm::CallLanes& lanes)
    : core_(&core), lanes_(&lanes), waiting_(core.wait_budget()) {}

void ToolDesk::begin(const ToolTable& tools) {
  tools_ = &tools;
  attended_ = false;
  error_.reset();
  nested_calls_ = 0;
  waiting_nested_ = nullptr;
  given_up_nested_.clear();
  questions_.clear();
  question_bytes_ = 0;
}

bool ToolDesk::pending() {
  const std::scoped_lock lock(look_);
  return error_ || (!attended_ && has_next());
}

Status ToolDesk::attend(const Lease& lease) {
  {
    const std::scoped_lock lock(look_);
    if (error_) return *error_;
    if (attended_) return Done{};
    attended_ = true;
  }
  for (;;) {
    Status handled = Done{};
    // What a frame says may take as long as its tool does.
    while (handled && has_next() && !ClientCore::is_given_up(lease)) {
      handled = handle_next(lease);
    }
    {
      const std::scoped_lock lock(look_);
      if (handled && !ClientCore::is_given_up(lease) && has_next()) continue;
      attended_ = false;
    }
    // Others may wait, who are to know.
    if (!handled) core_->wake_caller(lease);
    return handled;
  }
}

Status ToolDesk::break_off(Error error) {
  const std::scoped_lock lock(look_);
  if (!error_) error_ = std::move(error);
  return *error_;
}

Status ToolDesk::break_rules(std::string what) {
  return break_off(Error{ErrorCode::kBadFrame, std::move(what)});
}

// The worker runs a nested call inside the waiting of whatever it had started before. So what is
// awaited here last depends on nothing that the handlers of those around it ask, and they are
// known: a question of any other nested call, one that was given up, may come from a handler
// inside.
bool ToolDesk::can_wait(const Question& question) const {
  if (waiting_nested_ == nullptr) return false;
  if (question.id.within == 0) return true;
  const Nested* around = waiting_nested_->outer;
  while (around != nullptr && around->id != question.id.within) around = around->outer;
  return around != nullptr;
}

bool ToolDesk::has_due_question() const {
  return std::any_of(questions_.begin(), questions_.end(),
                     [this](const Question& question) { return !can_wait(question); });
}

std::optional<ToolDesk::Question> ToolDesk::take_due_question() {
  const auto due = std::find_if(questions_.begin(), questions_.end(),
                                [this](const Question& question) { return !can_wait(question); });
  if (due == questions_.end()) return std::nullopt;
  Question question = std::move(*due);
  questions_.erase(due);
  question_bytes_ -= question.argument.data().size();
  return question;
}

Status ToolDesk::handle_next(const Lease& lease) {
  if (const std::optional<Question> question = take_due_question()) {
    return answer(lease, *question);
  }
  const Result<shm::LaneFrame> frame = lanes_->tools_in.next();
  if (!frame) return break_off(frame.error());
  switch (frame->kind) {
    case LaneFrameKind::kToolCall:
      return take_question(lease, *frame);
    case LaneFrameKind::kNestedReply:
      return take_nested_reply(lease, *frame);
    default:
      return break_rules("a frame among those of tools is of a kind that no worker sends there");
  }
}

Status ToolDesk::take_question(const Lease& lease, const shm::LaneFrame& frame) {
  const wire::RarePart* rare = frame.frame.rare;
  if (rare == nullptr || rare->method_name() == nullptr) {
    return break_rules("a tool is called without a name");
  }
  std::vector<Tensor> tensors;
  const Result<ReplyView> view = view_of(frame.frame, tensors);
  if (!view) return break_rules(view.error().message);
  Question question{layout::ToolCallId::unpack(frame.frame.head.call_id),
                    rare->method_name()->str(), OwnedPayload(*view),
                    earlier(ClientCore::deadline_of(lease), frame.frame.head.deadline_ns)};
  lanes_->tools_in.release();
  core_->tell_worker(lease);
  if (!can_wait(question)) return answer(lease, question);
  const std::size_t bytes = question.argument.data().size();
  if (questions_.size() >= kMaxWaitingQuestions ||
      question_bytes_ + bytes > kMaxWaitingQuestionBytes) {
    return send_reply(
        lease, question.id.pack(),
        Error{.code = ErrorCode::kPoolSaturated,
              .message = "too many tools are asked at once: " + std::to_string(questions_.size()) +
                         " wait already; ask the next when some have answered",
              .retryable = true});
  }
  question_bytes_ += bytes;
  questions_.push_back(std::move(question));
  return Done{};
}

Status ToolDesk::answer(const Lease& lease, const Question& question) {
  const Result<ToolReply> reply = run(lease, question);
  {
    const std::scoped_lock lock(look_);
    if (error_) return *error_;  // in a nested call
  }
  return send_reply(lease, question.id.pack(), reply);
}

Result<ToolReply> ToolDesk::run(const Lease& lease, const Question& question) {
  const Tool* tool = tools_->find(question.tool);
  if (tool == nullptr) {
    return Error{ErrorCode::kToolNotFound,
                 "the caller has no tool \"" + question.tool + "\"; it has: " + tools_->names()};
  }
  const std::uint32_t depth = innermost_ == nullptr ? 1 : innermost_->depth + 1;
  if (depth > kMaxToolDepth) {
    return Error{ErrorCode::kInvalidArgument, "tools that call handlers that call tools are " +
                                                  std::to_string(kMaxToolDepth) +
                                                  " deep already, and that is the limit"};
  }
  const std::function<bool()> gone = [&] {
    return !core_->is_under_way(lease) || ClientCore::stop_requested(lease) ||
           has_passed(question.deadline);
  };
  Running running{core_, this, &lease, question.deadline, depth, innermost_};
  struct Scope {
    explicit Scope(Running& tool) { innermost_ = &tool; }
    ~Scope() { innermost_ = innermost_->outer; }
  } scope(running);
  return call_tool(*tool, ToolCall(question.tool, question.argument, gone, question.deadline));
}

bool ToolDesk::await_room(const Lease& lease, std::uint64_t bytes) {
  shm::LaneWriter& out = lanes_->tools_out;
  return core_->await_lanes(lease, waiting_, ClientCore::deadline_of(lease), [&] {
    return out.has_room(bytes, /*with_envelope=*/true);
  }) == WaitEnd::kReady;
}

Status ToolDesk::send(const Lease& lease, LaneFrameKind kind, shm::FrameHead head,
                      const LanePayload& payload, shm::RareHead rare) {
  shm::LaneWriter& out = lanes_->tools_out;
  const Result<std::span<std::byte>> space = out.space(payload.bytes(), /*with_envelope=*/true);
  if (!space) return space.error();
  payload.write(*space);
  payload.describe(rare);
  head.generation = ClientCore::generation_of(lease);
  head.kind = payload.kind();
  Status sent = out.commit(kind, head, payload.bytes(), rare);
  if (sent) core_->tell_worker(lease);
  return sent;
}

Status ToolDesk::send_reply(const Lease& lease, std::uint64_t call_id,
                            const Result<ToolReply>& reply) {
  const std::uint64_t most = lanes_->tools_out.max_bytes(/*with_envelope=*/true);
  Result<LanePayload> payload = reply ? LanePayload::of(reply->payload()) : reply.error();
  if (payload && payload->bytes() > most) {
    payload = too_large("the tool's reply", payload->bytes(), most);
  }
  // Without room there is nobody left to read it.
  if (!await_room(lease, payload ? payload->bytes() : 0)) return Done{};
  Status sent = payload ? send(lease, LaneFrameKind::kToolReply, {.call_id = call_id}, *payload, {})
                        : send(lease, LaneFrameKind::kToolReply, {.call_id = call_id}, {},
                               {.error = &payload.error()});
  return sent ? sent : break_off(std::move(sent).error());
}

Status ToolDesk::take_nested_reply(const Lease& lease, const shm::LaneFrame& frame) {
  const std::uint64_t id = frame.frame.head.call_id;
  if (std::erase_if(given_up_nested_, [id](std::uint32_t one) { return one == id; }) == 0) {
    Nested* nested = waiting_nested_;
    while (nested != nullptr && nested->id != id) nested = nested->outer;
    if (nested == nullptr || nested->outcome) {
      return break_rules("a reply to a nested call that nobody made");
    }
    if (std::optional<Error> error = shm::error_of(frame.frame)) {
      nested->outcome.emplace(*std::move(error));
    } else {
      std::vector<Tensor> tensors;
      const Result<ReplyView> view = view_of(frame.frame, tensors);
      if (!view) return break_rules(view.error().message);
      nested->outcome.emplace(OwnedPayload(*view));
    }
  }
  lanes_->tools_in.release();
  core_->tell_worker(lease);
  return Done{};
}

ToolDesk* ToolDesk::serving_here(const ClientCore& core) {
  for (const Running* tool = innermost_; tool != nullptr; tool = tool->outer) {
    if (tool->core == &core) return tool->desk;
  }
  return nullptr;
}

Error ToolDesk::ended_error(const Lease& lease) const {
  if (ClientCore::stop_requested(lease)) {
    return Error{ErrorCode::kCancelled, "the call whose tool called was cancelled"};
  }
  if (core_->is_under_way(lease)) {
    return Error{ErrorCode::kDeadlineExceeded,
                 "the deadline passed before the nested call was sent"};
  }
  return Error{ErrorCode::kWorkerLost, "the call whose tool called has ended: its worker is gone"};
}

Result<OwnedPayload> ToolDesk::call_nested(std::string_view method, Payload payload,
                                           MonotonicNs deadline, const std::stop_token& stop) {
  const Running* tool = innermost_;
  while (tool->desk != this) tool = tool->outer;
  const Lease& lease = *tool->lease;
  const MonotonicNs until = earlier(tool->deadline, deadline);
  const std::uint64_t most = lanes_->tools_out.max_bytes(/*with_envelope=*/true);
  const Result<LanePayload> sending = LanePayload::of(payload);
  if (!sending) return sending.error();
  if (sending->bytes() > most) {
    return too_large("the nested call's payload", sending->bytes(), most);
  }
  if (!shm::is_name(method)) {
    return Error{ErrorCode::kInvalidArgument, "a method's name has 1 to 63 bytes"};
  }
  // Nothing is sent that nobody would wait for.
  if (stop.stop_requested()) {
    return Error{ErrorCode::kCancelled, "the nested call was cancelled before it was sent"};
  }
  if (ClientCore::stop_requested(lease) || has_passed(until) ||
      !await_room(lease, sending->bytes())) {
    return ended_error(lease);
  }
  Nested nested{++nested_calls_, std::nullopt, waiting_nested_};
  const std::uint16_t id = core_->method_id(method);
  Status sent = send(lease, LaneFrameKind::kNested,
                     {.call_id = nested.id, .deadline_ns = until, .method = id}, *sending,
                     {.method_name = id == 0 ? method : std::string_view()});
  if (!sent) return std::move(sent).error();
  waiting_nested_ = &nested;
  Status waited = await_nested(lease, nested, until, stop);
  waiting_nested_ = nested.outer;
  if (waited) return *std::move(nested.outcome);
  if (!nested.outcome) given_up_nested_.push_back(nested.id);
  return std::move(waited).error();
}

Status ToolDesk::await_nested(const Lease& lease, const Nested& nested, MonotonicNs deadline,
                              const std::stop_token& stop) {
  const std::stop_callback wakes(stop, [&] { core_->wake_caller(lease); });
  while (!nested.outcome) {
    // Looked for once: only what this thread handles makes one due.
    const bool due = has_due_question();
    const WaitEnd end = core_->await_lanes(lease, waiting_, deadline, [&] {
      return due || lanes_->tools_in.ready() || stop.stop_requested();
    });
    if (stop.stop_requested()) {
      return Error{ErrorCode::kCancelled, "the nested call was cancelled"};
    }
    if (end == WaitEnd::kGivenUp && !ClientCore::stop_requested(lease)) return late_nested_error();
    if (end != WaitEnd::kReady) return ended_error(lease);
    if (Status handled = handle_next(lease); !handled) return handled;
    if (nested.outcome) break;
    // Frames without an end are no reply; and what came while the time ran out is looked at above.
    if (ClientCore::stop_requested(lease)) return ended_error(lease);
    if (has_passed(deadline)) return late_nested_error();
  }
  return Done{};
}

}  // namespace slotring::internal
