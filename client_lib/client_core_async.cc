// The steps of a call that no thread sleeps for, and the one thread that looks after such calls.

#include <signal.h>

#include <system_error>

#include "client_lib/async_calls.h"
#include "client_lib/client_core.h"

namespace slotring::internal {

namespace {

// Signals are for the program's own threads: the one that is made meanwhile takes none.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

Result<std::optional<Lease>> ClientCore::try_claim(const ClaimTerms& terms,
                                                   const std::stop_token& stop) {
  if (Status ready = prepare_to_claim(stop); !ready) return std::move(ready).error();
  // Not the slot that this thread used last: its reply may be under way.
  const std::optional<shm::Claim> claim = pool_.try_claim(owner_);
  if (!claim) return std::optional<Lease>();
  return std::optional<Lease>(lease_of(*claim, terms, stop));
}

Result<std::optional<Lease>> ClientCore::try_claim_in_line(const ClaimTerms& terms,
                                                           const std::stop_token& stop,
                                                           std::optional<shm::WaiterIndex>& place,
                                                           bool look_anyway) {
  if (Status ready = prepare_to_claim(stop); !ready) return std::move(ready).error();
  Result<std::optional<shm::Claim>> claim = pool_.try_claim_in_line(owner_, place, look_anyway);
  if (!claim) return std::move(claim).error();
  if (!*claim) return std::optional<Lease>();
  return std::optional<Lease>(lease_of(**claim, terms, stop));
}

Status ClientCore::check_line() {
  pool_.line().interrupt_audit();  // whatever has become of its bell
  return supervisor_.check_pool();
}

std::optional<Result<ReplyView>> ClientCore::try_wait(Lease& lease, Look look) {
  if (look == Look::kEnd) {
    std::stop_source ended;
    ended.request_stop();
    lease.stop_ = ended.get_token();
  }
  WaitEnd end = WaitEnd::kReplied;
  if (awaits_reply(lease, shm::load_slot(pool_.word(lease.slot_)))) {
    if (shm::has_passed(lease.deadline_ns_) || lease.stop_.stop_requested()) {
      end = WaitEnd::kGivenUp;
    } else if (look == Look::kAlone && !check_by_itself(lease)) {
      end = WaitEnd::kUnserved;
    } else {
      return std::nullopt;
    }
  }
  return end_wait(lease, end);
}

Result<AsyncCalls*> ClientCore::async() {
  if (Status usable = check_process(); !usable) return std::move(usable).error();
  // Acquire: partner of the release below.
  if (AsyncCalls* made = async_.load(std::memory_order_acquire)) return made;
  const std::lock_guard lock(making_async_);
  if (AsyncCalls* made = async_.load(std::memory_order_relaxed)) return made;
  const SignalsBlocked blocked;
  try {
    async_.store(new AsyncCalls(*this), std::memory_order_release);
  } catch (const std::system_error& failure) {
    return Error{.code = ErrorCode::kSystemLimit,
                 .message = std::string("no thread for asynchronous calls: ") + failure.what(),
                 .retryable = true};
  }
  return async_.load(std::memory_order_relaxed);
}

void ClientCore::end_async() {
  // In a child made by fork() the thread is not there, and what it was about to do is half done.
  if (guard_.valid() && guard_.in_child()) return;
  AsyncCalls* made = async_.load(std::memory_order_acquire);
  if (made == nullptr) return;
  made->end();  // its callbacks may still call
  async_.store(nullptr, std::memory_order_relaxed);
  delete made;
}

}  // namespace slotring::internal
