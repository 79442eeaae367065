#include "python_side/native/channel.h"

#include <utility>

#include "python_side/native/argument.h"
#include "python_side/native/server.h"

namespace slotring::python {

using shm::MonotonicNs;

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
         shm::has_passed(question->second.deadline);
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
  CallerWait ended = CallerWait::kDone;
  // Looked at before the wait, which is over at once while the caller sends on.
  const bool waits = !done();
  if (waits && server_->seat().cancelled(*call_)) {
    ended = CallerWait::kGone;
  } else if (waits && shm::has_passed(deadline)) {
    ended = CallerWait::kDeadline;
  } else {
    waiting_ = true;
    ended = server_->await_caller(
        *call_, [&] { return done() || tools_ready(); }, deadline);
    waiting_ = false;
  }
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

// Code of the user's may run meanwhile (a collection of garbage, the import of numpy), which must
// not read on in the lane.
Result<Ref> Channel::take(const shm::Frame& frame) {
  waiting_ = true;
  Result<Ref> object = private_argument(frame, server_->types().area);
  waiting_ = false;
  return object;
}

}  // namespace slotring::python
