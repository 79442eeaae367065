// A thread that looks after callers waiting for a free slot, while, and only while, somebody waits.
// It wakes them again when slots are free: the wake meant for them may have been swallowed by a
// process that was stopped or killed between taking it and claiming
// (client_lib/shm/waiting_line.h). Asleep in the kernel otherwise.

#ifndef SLOTRING_SUPERVISOR_WAITING_AUDIT_H_
#define SLOTRING_SUPERVISOR_WAITING_AUDIT_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "client_lib/shm/slot_pool.h"

namespace slotring::supervisor {

class WaitingAudit {
 public:
  // How long a swallowed wake may delay a caller.
  static constexpr std::chrono::milliseconds kPeriod{20};

  // Starts the thread. `pool` outlives this. Throws std::system_error when there can be no thread.
  explicit WaitingAudit(const shm::SlotPool& pool);
  ~WaitingAudit();
  WaitingAudit(const WaitingAudit&) = delete;
  WaitingAudit& operator=(const WaitingAudit&) = delete;

 private:
  void run();
  void audit_while_somebody_waits();

  const shm::SlotPool& pool_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable stopped_;
  std::thread thread_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_WAITING_AUDIT_H_
