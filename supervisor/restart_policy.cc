#include "supervisor/restart_policy.h"

#include <algorithm>

namespace slotring::supervisor {

using std::chrono::milliseconds;

std::optional<milliseconds> RestartPolicy::plan(Clock::time_point now, milliseconds ready_for,
                                                StartEnd end, double chance) {
  if (ready_for >= limits_.crash_loop_window) {
    deaths_.clear();
    failures_ = 0;
    return milliseconds(0);
  }
  if (end == StartEnd::kRecycled) return milliseconds(0);
  if (end == StartEnd::kOverdueCall) return delay_after(1, chance);
  ++failures_;
  if (end == StartEnd::kWorkerDied && limits_.crash_loop_deaths > 0) {
    deaths_.push_back(now);
    while (deaths_.front() + limits_.crash_loop_window <= now) deaths_.pop_front();
    if (deaths_.size() >= limits_.crash_loop_deaths) return std::nullopt;
  }
  return delay_after(failures_, chance);
}

milliseconds RestartPolicy::delay_after(std::uint32_t failures, double chance) const {
  // 2^20 times the smallest delay is beyond any delay_max that the config allows.
  const double doublings = std::min<std::uint32_t>(failures - 1, 20);
  double delay_ms = static_cast<double>(limits_.delay.count());
  for (double i = 0; i < doublings; ++i) delay_ms *= 2;
  delay_ms = std::min(delay_ms, static_cast<double>(limits_.delay_max.count()));
  return milliseconds(static_cast<std::int64_t>(delay_ms * (0.75 + 0.5 * chance)));
}

}  // namespace slotring::supervisor
