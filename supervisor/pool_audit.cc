#include "supervisor/pool_audit.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "client_lib/shm/observed_call.h"
#include "client_lib/shm/reclaim.h"

namespace slotring::supervisor {

using std::chrono::nanoseconds;

namespace {
// A call that starts while others are looked after is met this soon.
constexpr nanoseconds kLongestNap = std::chrono::seconds(1);
}  // namespace

PoolAudit::PoolAudit(const shm::SlotPool& pool, std::chrono::milliseconds call_time_limit,
                     OnOverdue on_overdue, OnDoubt on_doubt, OnWaiting on_waiting)
    : pool_(pool),
      limit_(call_time_limit),
      on_overdue_(std::move(on_overdue)),
      on_doubt_(std::move(on_doubt)),
      on_waiting_(std::move(on_waiting)) {
  // Signals are the event loop's.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

PoolAudit::~PoolAudit() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_seq_cst);
  }
  stopped_.notify_all();
  pool_.line().interrupt_audit();
  thread_.join();
}

void PoolAudit::run() {
  while (!stop_.load(std::memory_order_seq_cst)) {
    pool_.line().await_work(stop_, [this] { return audit_calls().has_value(); });
    audit_while_there_is_work();
  }
}

void PoolAudit::audit_while_there_is_work() {
  std::unique_lock lock(mutex_);
  bool doubted = true;  // somebody rang, or waits
  bool waited = false;
  while (!stop_.load(std::memory_order_seq_cst)) {
    const bool waiting = pool_.line().occupied();
    const std::optional<nanoseconds> overdue_in = audit_calls();
    doubted = pool_.line().take_audit_ring() || waiting || doubted;
    if (doubted && try_doubt()) doubted = false;
    if (!waiting && !overdue_in && !doubted) return;
    if (waiting) shm::audit_waiters(pool_);
    if (waiting && on_waiting_) on_waiting_(waited);
    waited = waiting;
    if (!waiting && overdue_in) {
      // Whoever begins to wait meanwhile ends the nap, and so does the end of this.
      const nanoseconds nap =
          std::max<nanoseconds>(kPeriod, std::min({*overdue_in, limit_ / 4, kLongestNap}));
      lock.unlock();
      pool_.line().await_ring(shm::monotonic_now() + static_cast<shm::MonotonicNs>(nap.count()));
      lock.lock();
    } else {
      stopped_.wait_for(lock, kPeriod, [this] { return stop_.load(std::memory_order_seq_cst); });
    }
  }
}

// False when it is too soon for another look.
bool PoolAudit::try_doubt() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_repair_) return false;
  next_repair_ = now + kRepairPeriod;
  on_doubt_();
  return true;
}

std::optional<nanoseconds> PoolAudit::audit_calls() const {
  std::optional<nanoseconds> overdue_in;
  if (limit_ == nanoseconds(0)) return overdue_in;
  const shm::ControlSegment& segment = pool_.segment();
  const shm::MonotonicNs now = shm::monotonic_now();
  for (shm::SeatIndex seat = 0; seat < segment.geometry().max_workers; ++seat) {
    const std::optional<shm::ObservedCall> call = shm::observe_call(segment, seat, now);
    if (!call) continue;
    const nanoseconds left =
        limit_ - nanoseconds(static_cast<std::int64_t>(
                     std::min(call->run_ns, static_cast<std::uint64_t>(limit_.count()))));
    if (left == nanoseconds(0)) on_overdue_(seat);
    overdue_in = overdue_in ? std::min(*overdue_in, left) : left;
  }
  return overdue_in;
}

}  // namespace slotring::supervisor
