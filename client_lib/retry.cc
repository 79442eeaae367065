#include "client_lib/retry.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>

namespace slotring::internal {

using std::chrono::nanoseconds;

bool RetrySchedule::is_worth_it(const Error& error) {
  if (error.code == ErrorCode::kCircuitOpen) return false;
  return error.retryable || error.category() == ErrorCategory::kWorker ||
         error.category() == ErrorCategory::kResource;
}

std::optional<nanoseconds> RetrySchedule::next(const Error& error, nanoseconds left) {
  ++made_;
  if (made_ >= options_.attempts || !is_worth_it(error)) return std::nullopt;
  const auto most =
      static_cast<std::uint64_t>(std::max<std::int64_t>(options_.max_delay.count(), 0));
  auto bound = static_cast<std::uint64_t>(std::max<std::int64_t>(options_.first_delay.count(), 0));
  for (std::uint32_t i = 1; i < made_ && bound < most; ++i) bound *= 2;  // `most` is below 2^63
  const nanoseconds delay(static_cast<std::int64_t>(random_(std::min(bound, most))));
  if (delay >= left) return std::nullopt;
  return delay;
}

std::uint64_t random_up_to(std::uint64_t most) {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_int_distribution<std::uint64_t>(0, most)(engine);
}

bool sleep_unless_stopped(nanoseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any nobody_rings;
  std::unique_lock lock(mutex);
  nobody_rings.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace slotring::internal
