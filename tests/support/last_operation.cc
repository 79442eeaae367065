#include "tests/support/last_operation.h"

#include <signal.h>
#include <sys/mman.h>

#include <cassert>
#include <new>
#include <type_traits>

namespace slotring::testing {

using layout::SeatState;

static_assert(std::is_trivially_copyable_v<shm::RunningCall>);

struct SharedCalls::Content {
  std::uint32_t count = 0;
  shm::RunningCall calls[kOperatedSlots];
};

SharedCalls::SharedCalls() {
  void* memory =
      ::mmap(nullptr, sizeof(Content), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  content_ = new (memory) Content;
}

SharedCalls::~SharedCalls() { ::munmap(content_, sizeof(Content)); }

void SharedCalls::push(const shm::RunningCall& call) {
  assert(content_->count < kOperatedSlots);
  content_->calls[content_->count++] = call;
}

shm::RunningCall SharedCalls::pop() {
  assert(!empty());
  return content_->calls[--content_->count];
}

bool SharedCalls::empty() const { return content_->count == 0; }

std::span<const shm::RunningCall> SharedCalls::all() const {
  return {content_->calls, content_->count};
}

bool Peers::try_next() {
  const auto call = seat.try_next();
  if (call) calls.push(*call);
  return call.has_value();
}

std::ostream& operator<<(std::ostream& out, const LastOperation& operation) {
  return out << operation.name;
}

namespace {

void nothing(Peers&) {}

// Teaches the client that only sleeping pays for slot 0.
void learn_to_sleep(Peers& p) {
  for (int i = 0; i < 4; ++i) (void)submit(*p.client, "late", 1)->wait().ok();
}

void claim_all(Peers& p) {
  for (std::uint32_t i = 0; i < kOperatedSlots; ++i) p.claim();
}

// Slots and a place in the line in several states, for walks to find.
void leave_all_states(Peers& p) {
  p.start();
  p.start();
  p.lease().release();
  p.claim();
  (void)p.pool->pool().line().try_register(kOperatingClient).has_value();
}

// The same with a request in place of a claimed slot.
void leave_calls_in_all_states(Peers& p) {
  p.start();
  p.start();
  p.lease().release();
  p.submit();
  (void)p.pool->pool().line().try_register(kOperatingClient).has_value();
}

// Somebody waits, and nobody told it that a slot is free.
void leave_a_waiter(Peers& p) {
  p.start();
  (void)p.pool->pool().line().try_register(kOperatingClient).has_value();
}

// What the supervisor does when it has reaped the seat's first worker.
bool lose_worker(Peers& p, bool retired) {
  p.pool->set_seat(0, retired ? SeatState::kRetired : SeatState::kLost);
  shm::write_obituary(p.pool->segment(), 0, 1, 4242, SIGKILL, "last words");
  shm::reclaim_worker(p.pool->pool(), 0, 1, retired);
  if (retired) p.pool->pool().line().wake_all();
  return true;
}

bool reclaim_client(Peers& p) {
  shm::reclaim_client(p.pool->pool(), kOperatingClient);
  return true;
}

const LastOperation kOperations[] = {
    // A client's.
    {"Claim", kClientPeer, kNobody, nothing,
     [](Peers& p) {
       p.claim();
       return p.lease().held();
     }},
    {"ClaimLast", kClientPeer, kNobody,
     [](Peers& p) {
       p.claim();
       p.leases.clear();
     },
     [](Peers& p) {
       p.claim();
       return p.lease().held();
     }},
    {"ClaimInVain", kClientPeer, kNobody, claim_all,
     [](Peers& p) {
       // Unless somebody gave a slot back meanwhile.
       const Result<Lease> lease = p.client->claim(1);
       return lease.ok() || lease.error().code == ErrorCode::kDeadlineExceeded;
     }},
    // Of the one seat, and given back to whoever may want it.
    {"ClaimOnSeat", kClientPeer, kNobody, nothing,
     [](Peers& p) {
       const shm::SlotPool& pool = p.pool->pool();
       const Result<shm::Claim> claim = pool.claim_on(kOperatingClient, 0, 1);
       if (!claim) return claim.error().retryable;  // others may have them all, or the worker
       return pool.try_release(claim->slot, claim->word, shm::Actor::kClient);
     }},
    {"Submit", kClientPeer, kNobody, [](Peers& p) { p.claim(); },
     [](Peers& p) { return p.lease().submit("echo", PayloadKind::kEmpty, 0).ok(); }},
    // Above the part of its area that is always backed by memory.
    {"SubmitLarge", kClientPeer, kNobody, [](Peers& p) { p.claim(); },
     [](Peers& p) {
       constexpr std::size_t kLarge = 100'000;
       const bool sent = p.lease().request(kLarge).ok() &&
                         p.lease().submit("echo", PayloadKind::kBytes, kLarge).ok();
       p.lease().release();
       return sent;
     }},
    {"SubmitToRetired", kClientPeer, kWorkerPeer,
     [](Peers& p) {
       p.claim();
       p.pool->set_seat(0, SeatState::kRetired);
     },
     [](Peers& p) {
       const Status sent = p.lease().submit("echo", PayloadKind::kEmpty, 0);
       return !sent && sent.error().code == ErrorCode::kWorkerUnavailable;
     }},
    {"ReleaseClaimed", kClientPeer, kNobody, [](Peers& p) { p.claim(); },
     [](Peers& p) {
       p.lease().release();
       return !p.lease().held();
     }},
    {"ReleaseRequested", kClientPeer, kNobody, [](Peers& p) { p.submit(); },
     [](Peers& p) {
       p.lease().release();
       return !p.lease().held();
     }},
    {"ReleaseRunning", kClientPeer, kNobody, [](Peers& p) { p.start(); },
     [](Peers& p) {
       p.lease().release();
       return !p.lease().held();
     }},
    {"WaitAndRelease", kClientPeer, kNobody,
     [](Peers& p) {
       p.start();
       p.echo();
     },
     [](Peers& p) {
       const bool right = text_of(p.lease().wait().value()) == "hello";
       p.lease().release();
       return right;
     }},
    {"WaitForLost", kClientPeer, kWorkerPeer,
     [](Peers& p) {
       p.start();
       (void)lose_worker(p, false);
     },
     [](Peers& p) {
       const Result<ReplyView> reply = p.lease().wait();
       return !reply && reply.error().code == ErrorCode::kWorkerLost;
     }},
    // The worker lets go of an abandoned call when all slots are taken and this client sleeps.
    {"ClaimAsleep", kClientPeer, kNobody,
     [](Peers& p) {
       p.start();
       p.lease().release();
       p.leases.clear();
       p.claim();
       p.claim();
     },
     [](Peers& p) {
       p.claim();
       return p.lease().held();
     },
     true},
    // The worker replies when this client sleeps.
    {"WaitAsleep", kClientPeer, kNobody,
     [](Peers& p) {
       learn_to_sleep(p);
       p.start();
     },
     [](Peers& p) { return text_of(p.lease().wait().value()) == "hello"; }, true},
    // A worker's.
    {"TryNext", kWorkerPeer, kNobody, [](Peers& p) { p.submit(); },
     [](Peers& p) { return p.try_next(); }},
    // Its deadline has passed: the worker answers without a handler, and may find another.
    {"TryNextLate", kWorkerPeer, kNobody, [](Peers& p) { p.submit(1); },
     [](Peers& p) {
       (void)p.try_next();
       return true;
     }},
    {"Reply", kWorkerPeer, kNobody, [](Peers& p) { p.start(); },
     [](Peers& p) {
       p.echo();
       return p.calls.empty();
     }},
    {"ReplyToNobody", kWorkerPeer, kNobody,
     [](Peers& p) {
       p.start();
       p.leases.clear();
     },
     [](Peers& p) {
       p.echo();
       return p.calls.empty();
     }},
    {"Fail", kWorkerPeer, kNobody, [](Peers& p) { p.start(); },
     [](Peers& p) {
       p.seat.fail(p.calls.pop(), Error{ErrorCode::kHandlerRaised, "no"});
       return true;
     }},
    // The client sends a request when this worker sleeps.
    {"AwaitAsleep", kWorkerPeer, kNobody,
     [](Peers& p) {
       (void)p.try_next();
       for (int i = 0; i < 4; ++i) p.seat.wait(1);
     },
     [](Peers& p) {
       while (!p.try_next()) p.seat.wait(shm::kNever);
       return true;
     },
     true},
    // Of both in one process.
    {"WholeCall", kClientPeer | kWorkerPeer, kNobody, nothing,
     [](Peers& p) {
       p.submit();
       // Others may have left it only a slot of another worker.
       if (!p.try_next()) return true;
       p.echo();
       const bool right = text_of(p.lease().wait().value()) == "hello";
       p.lease().release();
       return right;
     }},
    {"AbandonedCall", kClientPeer | kWorkerPeer, kNobody, nothing,
     [](Peers& p) {
       p.submit();
       if (!p.try_next()) return true;
       p.lease().release();
       p.echo();
       return true;
     }},
    // The supervisor's.
    {"Publish", kReaperPeer, kWorkerPeer, [](Peers& p) { p.pool->set_seat(0, SeatState::kLost); },
     [](Peers& p) {
       p.pool->publish(0, 2);
       return true;
     }},
    {"ReclaimClient", kReaperPeer, kClientPeer, leave_all_states, reclaim_client},
    {"ReclaimWorker", kReaperPeer, kWorkerPeer, leave_calls_in_all_states,
     [](Peers& p) { return lose_worker(p, false); }},
    {"ReclaimRetiredWorker", kReaperPeer, kWorkerPeer, leave_calls_in_all_states,
     [](Peers& p) { return lose_worker(p, true); }},
    {"ReclaimBoth", kReaperPeer, kClientPeer | kWorkerPeer, leave_all_states,
     [](Peers& p) { return reclaim_client(p) && lose_worker(p, false); }},
    {"AuditHints", kReaperPeer, kNobody, leave_all_states,
     [](Peers& p) {
       shm::audit_hints(p.pool->pool());
       return true;
     }},
    {"AuditWaiters", kReaperPeer, kNobody, leave_a_waiter,
     [](Peers& p) {
       shm::audit_waiters(p.pool->pool());
       return true;
     }},
};

}  // namespace

std::span<const LastOperation> last_operations() { return kOperations; }

}  // namespace slotring::testing
