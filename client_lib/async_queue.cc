#include "client_lib/async_queue.h"

#include <utility>

#include "client_lib/client_core.h"

namespace slotring::internal {

AsyncCall::AsyncCall(std::string_view called, const CallOptions& options, Placement place,
                     OnReply reply_to)
    : method(called),
      started(shm::monotonic_now()),
      deadline(deadline_after(options.timeout, started)),
      stop(options.stop),
      placement(place),
      on_reply(std::move(reply_to)) {}

Status AsyncQueue::check_room(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  // Over the bound it may be, where others came at the same time.
  const std::size_t left = bytes_ < kMaxQueuedBytes ? kMaxQueuedBytes - bytes_ : 0;
  if (calls_.size() < kMaxQueuedCalls && bytes <= left) return Done{};
  return Error{.code = ErrorCode::kPoolSaturated,
               .message = "no slot is free, and " + std::to_string(calls_.size()) +
                          " calls of this client with " + std::to_string(bytes_) +
                          " bytes wait for one already",
               .retryable = true};
}

bool AsyncQueue::put(AsyncCallPtr call) {
  const std::lock_guard lock(mutex_);
  const bool first = calls_.empty();
  bytes_ += call->copy.data().size();
  waiting_.fetch_add(1, std::memory_order_seq_cst);
  calls_.push_back(std::move(call));
  return first;
}

AsyncCall* AsyncQueue::first() {
  const std::lock_guard lock(mutex_);
  return calls_.empty() ? nullptr : calls_.front().get();
}

AsyncCallPtr AsyncQueue::take_first() {
  AsyncCallPtr call;
  {
    const std::lock_guard lock(mutex_);
    call = std::move(calls_.front());
    calls_.pop_front();
    bytes_ -= call->copy.data().size();
  }
  call->copy = {};  // sent, or never to be
  return call;
}

std::vector<AsyncCallPtr> AsyncQueue::take_given_up(
    const std::function<Status(const AsyncCall&)>& check) {
  std::vector<AsyncCallPtr> given_up;
  const std::lock_guard lock(mutex_);
  for (AsyncCallPtr& call : calls_) {
    Status wanted = check(*call);
    if (wanted) continue;
    call->refusal = std::move(wanted).error();
    bytes_ -= call->copy.data().size();
    given_up.push_back(std::move(call));
  }
  std::erase(calls_, nullptr);
  return given_up;
}

}  // namespace slotring::internal
