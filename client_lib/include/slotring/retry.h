// Sending a call again that failed for want of a worker or of room, after a while.
//
// Only for calls marked idempotent (CallOptions): the worker may have run a call that it died over.
// Sent again is what failed with an error of category worker or resource, or with one that says
// retryable; but never CIRCUIT_OPEN. Between attempts k and k + 1 the caller sleeps a random time
// between nothing and min(max_delay, first_delay * 2^(k-1)): full jitter, which spreads callers
// that failed together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
// All of it is inside the call's timeout, and ended by its stop token.

#ifndef SLOTRING_RETRY_H_
#define SLOTRING_RETRY_H_

#include <chrono>
#include <cstdint>

namespace slotring {

struct RetryOptions {
  std::uint32_t attempts = 3;  // the first one included
  std::chrono::nanoseconds first_delay = std::chrono::milliseconds(10);
  std::chrono::nanoseconds max_delay = std::chrono::seconds(1);
};

}  // namespace slotring

#endif  // SLOTRING_RETRY_H_
