// The writing end of a stream's call.

#include "client_lib/lane_payload.h"
#include "client_lib/stream_call.h"

namespace slotring::internal {

using layout::LaneFrameKind;

namespace {

// Something of this thread's, to be told from others by.
const void* this_thread() {
  static thread_local const char mark = 0;
  return &mark;
}

Error ended() {
  return Error{ErrorCode::kCancelled, "the stream's call has ended; finish() says how"};
}

}  // namespace

Status StreamCall::begin_write() {
  if (space_holder_.load(std::memory_order_relaxed) == this_thread()) {
    // A space() without its commit(): that space is given again, unless it was closed meanwhile.
    if (writing_.load(std::memory_order_relaxed) == kClosed) return ended();
    return Done{};
  }
  std::uint32_t seen = kIdle;
  // Acquire: partner of the release in end_write(), of another thread maybe.
  if (writing_.compare_exchange_strong(seen, kWriting, std::memory_order_acquire)) return Done{};
  return ended();
}

void StreamCall::end_write() {
  space_holder_.store(nullptr, std::memory_order_relaxed);
  std::uint32_t seen = kWriting;
  // Release: what was written comes before whatever the reading end does with the slot.
  if (writing_.compare_exchange_strong(seen, kIdle, std::memory_order_release)) return;
  writing_.store(kClosed, std::memory_order_release);
  shm::futex_wake(shm::futex_half(writing_), 1);
}

void StreamCall::close_writing() {
  std::uint32_t seen = kIdle;
  while (seen != kClosed) {
    const bool own =
        seen == kWriting && space_holder_.load(std::memory_order_relaxed) == this_thread();
    const std::uint32_t next = seen == kIdle || own ? kClosed : kClosing;
    // Acquire: partner of the releases in end_write().
    if (!writing_.compare_exchange_strong(seen, next, std::memory_order_acquire)) continue;
    if (next == kClosed) return;
    core_->wake_caller(lease_);  // it may wait for room
    while ((seen = writing_.load(std::memory_order_acquire)) == kClosing) {
      shm::futex_wait(shm::futex_half(writing_), kClosing, shm::kNever);
    }
  }
}

Status StreamCall::await_room(std::uint64_t bytes, bool with_envelope) {
  shm::LaneWriter& out = lanes_->stream_out;
  // Also of a writer that never waits.
  const bool look = ++writes_ % kBatchFrames == 0;
  if (ClientCore::stop_requested(lease_) || (look && ClientCore::is_given_up(lease_))) {
    return core_->given_up_error(lease_);
  }
  if (look && !core_->is_under_way(lease_)) return ended();
  const auto has_room = [&] { return out.has_room(bytes, with_envelope); };
  if (has_room()) return Done{};
  const auto closing = [&] { return writing_.load(std::memory_order_relaxed) == kClosing; };
  for (;;) {
    const WaitEnd end = core_->await_lanes(
        lease_, waiting_for_room_, ClientCore::deadline_of(lease_),
        [&] { return closing() || has_room() || (desk_ != nullptr && desk_->pending()); });
    if (end != WaitEnd::kReady) return write_error(end);
    if (closing()) return ended();
    if (has_room()) return Done{};
    if (Status attended = desk_->attend(lease_); !attended) return attended;
    if (ClientCore::is_given_up(lease_)) return core_->given_up_error(lease_);
  }
}

Error StreamCall::write_error(WaitEnd end) const {
  if (end == WaitEnd::kGivenUp) return core_->given_up_error(lease_);
  if (end == WaitEnd::kUnserved) {
    return Error{ErrorCode::kWorkerLost, "the stream's worker is gone; finish() says more"};
  }
  return ended();
}

Result<std::span<std::byte>> StreamCall::give_space(std::size_t bytes, bool with_envelope) {
  if (writing_finished_) {
    return Error{ErrorCode::kInvalidArgument, "finish_writing() has ended what is written"};
  }
  if (Status room = await_room(bytes, with_envelope); !room) return std::move(room).error();
  return lanes_->stream_out.space(bytes, with_envelope);
}

Status StreamCall::send(LaneFrameKind kind, wire::PayloadKind payload, std::size_t bytes,
                        const shm::RareHead& rare) {
  Status sent = lanes_->stream_out.commit(
      kind, {.generation = ClientCore::generation_of(lease_), .kind = payload}, bytes, rare);
  if (sent) core_->tell_worker(lease_);
  return sent;
}

Status StreamCall::write(Payload item) {
  const Result<LanePayload> payload = LanePayload::of(item);
  if (!payload) return payload.error();
  if (Status usable = core_->check_process(); !usable) return usable;
  if (Status begun = begin_write(); !begun) return begun;
  const Result<std::span<std::byte>> space =
      give_space(payload->bytes(), payload->needs_envelope());
  Status sent = Done{};
  if (space) {
    payload->write(*space);
    shm::RareHead rare;
    payload->describe(rare);
    sent = send(LaneFrameKind::kItem, payload->kind(), payload->bytes(), rare);
  } else {
    sent = space.error();
  }
  end_write();
  return sent;
}

Result<std::span<std::byte>> StreamCall::space(std::size_t bytes) {
  if (Status usable = core_->check_process(); !usable) return std::move(usable).error();
  if (Status begun = begin_write(); !begun) return std::move(begun).error();
  Result<std::span<std::byte>> space = give_space(bytes);
  if (space) {
    given_bytes_ = bytes;
    space_holder_.store(this_thread(), std::memory_order_relaxed);
  } else {
    end_write();
  }
  return space;
}

Status StreamCall::commit(PayloadKind kind, std::size_t bytes) {
  if (Status usable = core_->check_process(); !usable) return usable;
  if (space_holder_.load(std::memory_order_relaxed) != this_thread()) {
    return Error{ErrorCode::kInvalidArgument,
                 "commit() without a space() of this thread before it"};
  }
  if (kind >= PayloadKind::kTensors) {
    return Error{ErrorCode::kInvalidArgument, "tensors and tables are sent by write()"};
  }
  if (bytes > given_bytes_) {
    return Error{ErrorCode::kPayloadTooLarge, "commit() of " + std::to_string(bytes) +
                                                  " bytes where space() gave " +
                                                  std::to_string(given_bytes_)};
  }
  // By this thread, at its reading end.
  if (writing_.load(std::memory_order_relaxed) == kClosed) {
    space_holder_.store(nullptr, std::memory_order_relaxed);
    return ended();
  }
  Status sent = send(LaneFrameKind::kItem, static_cast<wire::PayloadKind>(kind), bytes);
  end_write();
  return sent;
}

Status StreamCall::finish_writing() {
  if (Status usable = core_->check_process(); !usable) return usable;
  if (Status begun = begin_write(); !begun) return begun;
  const Result<std::span<std::byte>> space = give_space(0);
  Status sent =
      space ? send(LaneFrameKind::kEnd, wire::PayloadKind::Empty, 0) : Status(space.error());
  if (sent) writing_finished_ = true;
  end_write();
  return sent;
}

}  // namespace slotring::internal
