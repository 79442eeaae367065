#include "slotring/tools.h"

#include "client_lib/shm/futex.h"
#include "client_lib/shm/value.h"
#include "slotring/lease.h"

namespace slotring {

Result<std::vector<std::uint8_t>> ToolCall::value() const {
  if (kind() == PayloadKind::kTensors) return view().value();
  if (kind() != PayloadKind::kValue) {
    return Error{ErrorCode::kInvalidArgument, "the tool was given raw bytes or nothing, no value"};
  }
  return shm::copy_verified_value(bytes());
}

ReplyView ToolCall::view() const { return argument_->view(); }

std::chrono::nanoseconds ToolCall::remaining() const {
  if (deadline_ns_ == shm::kNever) return std::chrono::nanoseconds::max();
  const shm::MonotonicNs now = shm::monotonic_now();
  const std::uint64_t left = deadline_ns_ > now ? deadline_ns_ - now : 0;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(left));
}

bool ToolCall::cancelled() const { return (*gone_)(); }

}  // namespace slotring
