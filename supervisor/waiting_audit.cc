#include "supervisor/waiting_audit.h"

#include <signal.h>

#include "client_lib/shm/reclaim.h"

namespace slotring::supervisor {

WaitingAudit::WaitingAudit(const shm::SlotPool& pool) : pool_(pool) {
  // Signals are the event loop's.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

WaitingAudit::~WaitingAudit() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_seq_cst);
  }
  stopped_.notify_all();
  pool_.line().interrupt_audit();
  thread_.join();
}

void WaitingAudit::run() {
  while (!stop_.load(std::memory_order_seq_cst)) {
    pool_.line().await_sleepers(stop_);
    audit_while_somebody_waits();
  }
}

void WaitingAudit::audit_while_somebody_waits() {
  std::unique_lock lock(mutex_);
  while (!stop_.load(std::memory_order_seq_cst) && pool_.line().count_waiting() > 0) {
    shm::audit_waiters(pool_);
    stopped_.wait_for(lock, kPeriod, [this] { return stop_.load(std::memory_order_seq_cst); });
  }
}

}  // namespace slotring::supervisor
