#include "client_lib/stream_call.h"

#include "client_lib/reply_view.h"

namespace slotring::internal {

using layout::LaneFrameKind;

StreamCall::StreamCall(ClientCore& core, Lease lease, bool writes)
    : core_(&core),
      lease_(std::move(lease)),
      lanes_(&core.lanes(lease_)),
      desk_(core.desk(lease_)),
      batch_bytes_(lanes_->stream_out.max_bytes() / 4),
      reading_(core.wait_budget()),
      lag_(core.wait_budget().spins / 8),
      writing_(writes ? kIdle : kClosed),
      waiting_for_room_(core.wait_budget()) {}

StreamCall::~StreamCall() {
  // Relaxed: nobody else uses it any more.
  writing_.store(kClosed, std::memory_order_relaxed);
  cancel();
}

void StreamCall::release_read() {
  unreleased_frames_ = 0;
  unreleased_bytes_ = 0;
  if (!lanes_->stream_in.holds()) return;
  lanes_->stream_in.release();
  core_->tell_worker(lease_);
}

Result<std::optional<ReplyView>> StreamCall::next() {
  if (!core_->is_own_process()) [[unlikely]]
    return core_->check_process().error();
  if (std::optional<ReplyView> item = try_take_plain()) return item;
  for (;;) {
    if (outcome_ && !*outcome_) return outcome_->error();
    if (finished_) return std::optional<ReplyView>();
    if (!items_ended_ && lanes_->stream_in.ready() && !ClientCore::stop_requested(lease_)) {
      // What was returned before is read: its room goes back in batches. After the reply no more
      // than what was there can come: a worker that sends on gets no room, and breaks the rules.
      if (!outcome_ && batch_is_read()) {
        release_read();
        if (ClientCore::is_given_up(lease_)) return conclude(WaitEnd::kGivenUp);
      }
      Result<std::optional<ReplyView>> item = take();
      if (!item || *item) return item;
      continue;  // that was the last
    }
    if (outcome_) return std::optional<ReplyView>();
    if (const WaitEnd end = await_item(); end != WaitEnd::kReady) return conclude(end);
  }
}

// An item as most are, of a call that runs, without another look at anything. Nothing: next() finds
// out what there is.
std::optional<ReplyView> StreamCall::try_take_plain() {
  if (outcome_ || items_ended_ || batch_is_read() || ClientCore::stop_requested(lease_)) {
    return std::nullopt;
  }
  const auto item = lanes_->stream_in.try_next_item();
  if (!item) return std::nullopt;
  count_read(item->payload.size());
  return ReplyView{.kind = static_cast<PayloadKind>(item->kind), .bytes = item->payload};
}

void StreamCall::count_read(std::uint64_t bytes) {
  ++unreleased_frames_;
  unreleased_bytes_ += bytes;
  ++frames_since_wait_;
}

bool StreamCall::batch_is_read() const {
  return unreleased_frames_ >= kBatchFrames || unreleased_bytes_ >= batch_bytes_;
}

Result<std::optional<ReplyView>> StreamCall::take() {
  const Result<shm::LaneFrame> frame = lanes_->stream_in.next();
  if (!frame) return end_with(frame.error());
  count_read(frame->frame.payload.size());
  if (frame->kind == LaneFrameKind::kEnd) {
    items_ended_ = true;
    return std::optional<ReplyView>();
  }
  if (frame->kind != LaneFrameKind::kItem) {
    return end_with(Error{ErrorCode::kBadFrame, "a frame in a stream is of another lane's kind"});
  }
  if (std::optional<Error> error = shm::error_of(frame->frame)) return end_with(*std::move(error));
  Result<ReplyView> view = view_of(frame->frame, item_tensors_);
  if (!view) return end_with(std::move(view).error());
  return std::optional<ReplyView>(*view);
}

// A reader at its writer's heels has the lines of each frame go back and forth between two cores;
// one that looks a moment later finds several frames, where more are on their way.
void StreamCall::fall_behind() {
  if (lagged_) frames_since_wait_ >= kWorthLagging ? lag_.hit() : lag_.miss();
  frames_since_wait_ = 0;
  const std::uint32_t pauses = lag_.next();
  lagged_ = pauses > 0;
  for (std::uint32_t i = 0; i < pauses; ++i) shm::cpu_pause();
}

StreamCall::WaitEnd StreamCall::await_item() {
  release_read();
  fall_behind();
  const auto has_item = [&] { return !items_ended_ && lanes_->stream_in.ready(); };
  for (;;) {
    const WaitEnd end = core_->await_lanes(lease_, reading_, ClientCore::deadline_of(lease_), [&] {
      return has_item() || (desk_ != nullptr && desk_->pending());
    });
    if (end != WaitEnd::kReady) return end;
    if (ClientCore::is_given_up(lease_)) return WaitEnd::kGivenUp;
    if (has_item()) return end;
    if (!desk_->attend(lease_)) return WaitEnd::kBroken;
  }
}

Result<std::optional<ReplyView>> StreamCall::conclude(WaitEnd end) {
  close_writing();
  outcome_.emplace(core_->end_wait(lease_, end));
  if (!*outcome_) return outcome_->error();
  // A reply that was there when the wait was given up; with items before it, maybe.
  if (!items_ended_ && lanes_->stream_in.ready()) return take();
  return std::optional<ReplyView>();
}

Result<std::optional<ReplyView>> StreamCall::end_with(Error error) {
  end_early(error, error.category());
  return error;
}

void StreamCall::cancel() {
  end_early(Error{ErrorCode::kCancelled, "the stream was cancelled"}, ErrorCategory::kNone);
}

void StreamCall::end_early(Error error, ErrorCategory counted_as) {
  if (finished_ || (outcome_ && !*outcome_)) return;
  close_writing();
  if (outcome_) {
    lease_.release();
  } else {
    core_->end_unread(lease_, counted_as);
  }
  outcome_.emplace(std::move(error));
}

Status StreamCall::status() const {
  if (outcome_ && !*outcome_) return outcome_->error();
  return Done{};
}

Result<std::pair<Lease, ReplyView>> StreamCall::finish() {
  if (finished_) {
    return Error{ErrorCode::kInvalidArgument, "finish() has given the stream's outcome already"};
  }
  for (;;) {
    const Result<std::optional<ReplyView>> item = next();
    if (!item) return item.error();
    if (!*item) break;
  }
  finished_ = true;
  return std::pair(std::move(lease_), **outcome_);
}

}  // namespace slotring::internal
