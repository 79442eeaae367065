// When a failed call is sent again; see slotring/retry.h for the rules. Neither sleeps nor looks at
// a clock.

#ifndef SLOTRING_CLIENT_LIB_RETRY_H_
#define SLOTRING_CLIENT_LIB_RETRY_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>

#include "client_lib/shm/futex.h"
#include "slotring/error.h"
#include "slotring/retry.h"

namespace slotring::internal {

class RetrySchedule {
 public:
  // A random number from 0 to `most`.
  using Random = std::function<std::uint64_t(std::uint64_t most)>;

  RetrySchedule(const RetryOptions& options, Random random)
      : options_(options), random_(std::move(random)) {}

  // How long to wait before the next attempt, after one that ended with `error` when `left` was
  // left until the deadline (kNoTimeout: none). Nothing when it was the last.
  std::optional<std::chrono::nanoseconds> next(const Error& error, std::chrono::nanoseconds left);

  static bool is_worth_it(const Error& error);

 private:
  RetryOptions options_;
  Random random_;
  std::uint32_t made_ = 0;  // attempts that have failed
};

// A source for RetrySchedule, of this thread.
std::uint64_t random_up_to(std::uint64_t most);

// Sleeps; false when the stop was requested before its end.
bool sleep_unless_stopped(std::chrono::nanoseconds duration, const std::stop_token& stop);

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_RETRY_H_
