// A thread that looks after a pool's callers and calls while, and only while, there is something to
// look after. Asleep in the kernel otherwise.
//
//   - While callers wait for a free slot it wakes them again when slots are free: the wake meant
//     for them may have been swallowed by a process that was stopped or killed between taking it
//     and claiming (client_lib/shm/waiting_line.h).
//   - While callers wait it also says so, for a pool that starts workers then.
//   - While calls run in a pool that limits how long they may, it reports seats whose call runs for
//     longer. Their workers ring when a call starts after a time without
//     (python_side/native/pulse.h).
//   - While somebody waits, and when somebody rings, it asks for a look at the pool's memory, at
//     most once in kRepairPeriod: who waits may wait because of words that a peer scribbled over.

#ifndef SLOTRING_SUPERVISOR_POOL_AUDIT_H_
#define SLOTRING_SUPERVISOR_POOL_AUDIT_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "client_lib/shm/slot_pool.h"

namespace slotring::supervisor {

class PoolAudit {
 public:
  // How long a swallowed wake may delay a caller; how often an overdue call is reported.
  static constexpr std::chrono::milliseconds kPeriod{20};
  static constexpr std::chrono::seconds kRepairPeriod{1};

  // Called on the audit's thread, again and again while the call runs.
  using OnOverdue = std::function<void(shm::SeatIndex)>;

  // Called on the audit's thread.
  using OnDoubt = std::function<void()>;
  // Called on the audit's thread each kPeriod while callers wait; `still`: also at the look before.
  using OnWaiting = std::function<void(bool still)>;

  // Starts the thread. `pool` outlives this. No limit when `call_time_limit` is 0. Throws
  // std::system_error when there can be no thread.
  PoolAudit(
      const shm::SlotPool& pool, std::chrono::milliseconds call_time_limit, OnOverdue on_overdue,
      OnDoubt on_doubt = [] {}, OnWaiting on_waiting = nullptr);
  ~PoolAudit();
  PoolAudit(const PoolAudit&) = delete;
  PoolAudit& operator=(const PoolAudit&) = delete;

 private:
  void run();
  void audit_while_there_is_work();
  bool try_doubt();
  // Reports overdue calls. How long until the next may be; nothing when none runs.
  std::optional<std::chrono::nanoseconds> audit_calls() const;

  const shm::SlotPool& pool_;
  const std::chrono::nanoseconds limit_;
  const OnOverdue on_overdue_;
  const OnDoubt on_doubt_;
  const OnWaiting on_waiting_;
  std::chrono::steady_clock::time_point next_repair_{};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::thread thread_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_POOL_AUDIT_H_
