// Deaths and pauses that have a name: each is the worst moment of one step, brought about on
// purpose. What happens at all the other moments is in death_at_every_access_test.cc,
// pause_at_every_access_test.cc, and tests/kill_points.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/support/local_pool.h"
#include "tests/support/mortal_process.h"

namespace slotring {
namespace {

using layout::SeatState;
using layout::WaiterState;
using shm::kNever;
using shm::kNoSlot;
using shm::SlotState;
using testing::ChildProcess;
using testing::EchoWorker;
using testing::eventually;
using testing::LocalPool;
using testing::PausedProcess;
using testing::submit;
using testing::text_of;

constexpr std::uint16_t kMortal = 1;
constexpr std::uint16_t kLiving = 2;
constexpr std::uint16_t kHolder = 3;

// One worker; what a test does not say is done here.
class NamedDeaths : public ::testing::Test {
 protected:
  explicit NamedDeaths(std::uint32_t slots = 2) : pool_(testing::small_geometry(1, slots)) {
    pool_.publish_all();
  }

  const shm::SlotPool& slots() const { return pool_.pool(); }
  SlotState state(shm::SlotIndex slot = 0) const { return pool_.state(slot); }
  WaiterState waiter_state(shm::WaiterIndex waiter) const {
    return layout::WaiterWord::unpack(pool_.segment().waiter_word(waiter).load()).state;
  }
  // Whether so many wait, and the last of them has looked at the words and is about to sleep.
  bool await_waiting(std::uint32_t waiting) const {
    auto& bell = pool_.segment().header().audit_bell;
    return eventually([&] { return slots().line().count_waiting() == waiting; }) &&
           eventually([&] { return bell.exchange(0) == 1; });
  }
  std::vector<shm::Claim> hold_all() const {
    std::vector<shm::Claim> held;
    while (const auto claim = slots().try_claim(kHolder)) held.push_back(*claim);
    return held;
  }
  void release(const shm::Claim& claim) const {
    EXPECT_TRUE(slots().try_release(claim.slot, claim.word, shm::Actor::kClient));
  }
  // What the supervisor does when it has reaped the worker.
  void lose_worker() const {
    pool_.set_seat(0, SeatState::kLost);
    shm::write_obituary(pool_.segment(), 0, 1, 4242, SIGKILL, "");
    shm::reclaim_worker(slots(), 0, 1, /*retired=*/false);
  }
  // Everybody has gone: every slot is there, nobody waits, and a call works.
  void expect_whole_pool() {
    EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
    EXPECT_EQ(slots().line().count_waiting(), 0u);
    const std::vector<shm::Claim> all = hold_all();
    EXPECT_EQ(all.size(), pool_.segment().geometry().slots());
    for (const shm::Claim& claim : all) release(claim);
    const auto newcomer = pool_.client(kLiving);
    Lease lease = submit(*newcomer, "next").value();
    EchoWorker::echo(seat_, seat_.try_next().value());
    EXPECT_EQ(text_of(lease.wait().value()), "next");
  }

  LocalPool pool_;
  shm::WorkerSeat seat_ = pool_.worker();
};

bool stop(const ChildProcess& child) {
  int status = 0;
  ::kill(child.pid(), SIGSTOP);
  return ::waitpid(child.pid(), &status, WUNTRACED) == child.pid() && WIFSTOPPED(status);
}

bool is_killed(ChildProcess& child) {
  const int status = child.join();
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

// By a filter: the strict mode would take the clock away, too.
void die_of_next_system_call() {
  sock_filter kill = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  const sock_fprog filter{.len = 1, .filter = &kill};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

// --- a releaser -------------------------------------------------------------------------------

class Releaser : public NamedDeaths {
 protected:
  Releaser() : NamedDeaths(1) {}
};

TEST_F(Releaser, StoppedBetweenFreeAndListingHidesItsSlotFromNobodyWhoWaits) {
  if (!testing::kDeathsAtAccesses) GTEST_SKIP() << "needs x86-64";
  const auto has_hint = [&] { return !pool_.segment().free_ring(0).empty(); };
  int found = 0;
  for (int access = 0;; ++access) {
    const shm::Claim held = hold_all().at(0);
    PausedProcess releaser(
        pool_.segment(), access, [&] { return &held; },
        [&](const shm::Claim* mine) {
          return slots().try_release(mine->slot, mine->word, shm::Actor::kClient);
        });
    if (!releaser.paused()) {
      ASSERT_TRUE(releaser.ends_well());
      break;
    }
    if (state() == SlotState::kFree && !has_hint()) {
      ++found;
      EXPECT_FALSE(slots().try_claim(kLiving).has_value()) << "it is not hidden at all";
      const Result<shm::Claim> claimed = slots().claim(kLiving, kNoSlot, kNever);
      ASSERT_TRUE(claimed.ok());
      release(*claimed);
    }
    ASSERT_TRUE(releaser.ends_well());
    EXPECT_TRUE(has_hint()) << "stopped at access " << access;
  }
  EXPECT_GT(found, 0) << "no such moment";
}

// --- a waiter that is woken -------------------------------------------------------------------

class WokenWaiter : public NamedDeaths {
 protected:
  WokenWaiter() : NamedDeaths(1), held_(hold_all().at(0)) {}

  // Waits in line, claims, and gives back.
  bool claim_and_release() const {
    const Result<shm::Claim> claimed = slots().claim(kMortal, kNoSlot, kNever);
    return claimed.ok() && slots().try_release(claimed->slot, claimed->word, shm::Actor::kClient);
  }

  shm::Claim held_;
};

TEST_F(WokenWaiter, StoppedBeforeItsClaimHoldsUpNobodyForWhomTheAuditRuns) {
  ChildProcess woken([&] { return claim_and_release(); });
  ASSERT_TRUE(await_waiting(1));
  ASSERT_TRUE(stop(woken));
  std::optional<shm::Claim> claimed;
  std::thread next([&] { claimed = slots().claim(kLiving, kNoSlot, kNever).value(); });
  EXPECT_TRUE(await_waiting(2));
  release(held_);
  EXPECT_EQ(slots().line().count_waiting(), 1u) << "the wake went to the one that is stopped";
  shm::audit_waiters(slots());
  next.join();
  ::kill(woken.pid(), SIGCONT);
  EXPECT_TRUE(await_waiting(1)) << "it finds nothing, and sleeps again";
  release(*claimed);
  EXPECT_TRUE(woken.succeeded());
  expect_whole_pool();
}

TEST_F(WokenWaiter, KilledBeforeItsClaimPassesItsWakeOn) {
  ChildProcess woken([&] { return claim_and_release(); });
  ASSERT_TRUE(await_waiting(1));
  ASSERT_TRUE(stop(woken));
  std::thread next([&] {
    const shm::Claim claimed = slots().claim(kLiving, kNoSlot, kNever).value();
    release(claimed);
  });
  EXPECT_TRUE(await_waiting(2));
  release(held_);
  woken.kill();
  EXPECT_TRUE(is_killed(woken));
  shm::reclaim_client(slots(), kMortal);  // no audit
  next.join();
  expect_whole_pool();
}

// --- a worker ---------------------------------------------------------------------------------

class DeadWorker : public NamedDeaths {};

TEST_F(DeadWorker, WithThePendingBitsInItsHandsLeavesTheOtherRequestToItsSuccessor) {
  ASSERT_FALSE(seat_.try_next().has_value()) << "from now on it goes by the bits alone";
  const auto client = pool_.client(kLiving);
  Lease first = submit(*client, "first").value();
  Lease second = submit(*client, "second").value();
  ChildProcess worker([&] {
    (void)seat_.try_next().has_value();
    return ::raise(SIGKILL) == 0;
  });
  EXPECT_TRUE(is_killed(worker));
  EXPECT_EQ(pool_.segment().seat(0).bell.load(), 0u) << "the bits died with it";
  lose_worker();
  shm::WorkerSeat successor = pool_.worker();
  pool_.publish(0, 2);
  EchoWorker::echo(successor, successor.try_next().value());
  EXPECT_FALSE(successor.try_next().has_value());
  EXPECT_EQ(first.wait().error().code, ErrorCode::kWorkerLost);
  EXPECT_EQ(text_of(second.wait().value()), "second");
  second.release();
  expect_whole_pool();
}

// In the state of /proc/TID/stat: a thread that sleeps in the kernel.
bool sleeps(pid_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.size() > name_end + 2 && stat[name_end + 2] == 'S';
}

TEST_F(DeadWorker, BetweenItsReplyAndTheBellLeavesItsSleepingCallerToTheReaper) {
  if (testing::kInstrumented) GTEST_SKIP() << "a sanitizer makes system calls of its own";
  const auto client = pool_.client(kLiving);
  {
    // The slot's first reply maps its pages, by a system call.
    Lease first = submit(*client, "first").value();
    EchoWorker::echo(seat_, seat_.try_next().value());
    EXPECT_TRUE(first.wait().ok());
  }
  Lease lease = submit(*client, "hello").value();
  const shm::RunningCall call = seat_.try_next().value();
  std::atomic<pid_t> tid{0};
  std::atomic<bool> woken{false};
  std::thread caller([&] {
    tid = ::gettid();
    EXPECT_EQ(text_of(lease.wait().value()), "hello");
    woken = true;
  });
  EXPECT_TRUE(
      eventually([&] { return pool_.word(0).has(layout::kFlagCallerSleeps) && sleeps(tid); }));
  // From here on the first system call that it makes is its last: the wake of its caller.
  ChildProcess worker([&] {
    die_of_next_system_call();
    EchoWorker::echo(seat_, call);
    return true;
  });
  const int status = worker.join();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
  EXPECT_EQ(state(), SlotState::kReplied);
  EXPECT_FALSE(woken);
  lose_worker();
  caller.join();
  lease.release();
  pool_.publish(0, 2);
  expect_whole_pool();
}

// --- clients ----------------------------------------------------------------------------------

// How far a client has come when it dies, and what it and the worker do until then.
struct LastState {
  const char* name;
  SlotState slot;
  void (*client)(internal::ClientCore&, const LocalPool&, std::optional<Lease>&);
  bool starts = false;   // the worker starts the call
  bool replies = false;  // and answers it
};

std::ostream& operator<<(std::ostream& out, const LastState& last) { return out << last.name; }

void claim(internal::ClientCore& client, const LocalPool&, std::optional<Lease>& lease) {
  lease = client.claim(kNever).value();
}
void send(internal::ClientCore& client, const LocalPool&, std::optional<Lease>& lease) {
  lease = submit(client, "mine").value();
}
void send_and_abandon(internal::ClientCore& client, const LocalPool& pool,
                      std::optional<Lease>& lease) {
  lease = submit(client, "mine").value();
  EXPECT_TRUE(eventually([&] { return pool.state(0) == SlotState::kRunning; }));
  lease->release();
}

// In an order in which several clients can come to them, one after the other.
constexpr LastState kLastStates[] = {
    {"AbandonedByItself", SlotState::kAbandoned, send_and_abandon, true},
    {"Running", SlotState::kRunning, send, true},
    {"Replied", SlotState::kReplied, send, true, true},
    {"Claimed", SlotState::kClaimed, claim},
    {"Requested", SlotState::kRequested, send},
};

class DeadClients : public NamedDeaths {
 protected:
  DeadClients() : NamedDeaths(5) {}

  // A client that comes so far, and then does nothing any more.
  std::unique_ptr<ChildProcess> start(const LastState& last, std::uint16_t index) {
    auto child = std::make_unique<ChildProcess>([this, &last, index] {
      const auto client = pool_.client(index);
      std::optional<Lease> lease;
      last.client(*client, pool_, lease);
      for (;;) ::pause();
      return true;
    });
    if (last.starts) {
      EXPECT_TRUE(eventually([&] { return (call_ = seat_.try_next()).has_value(); }));
    }
    if (last.replies) EchoWorker::echo(seat_, *std::exchange(call_, std::nullopt));
    return child;
  }
  bool await_slot(SlotState in, std::uint16_t owner) const {
    return eventually([&] {
      for (shm::SlotIndex slot = 0; slot < pool_.segment().geometry().slots(); ++slot) {
        if (pool_.word(slot).owner == owner && state(slot) == in) return true;
      }
      return false;
    });
  }
  void kill_and_reclaim(ChildProcess& child, std::uint16_t index) {
    child.kill();
    EXPECT_TRUE(is_killed(child));
    shm::reclaim_client(slots(), index);
  }

  std::optional<shm::RunningCall> call_;
};

class DeadClient : public DeadClients, public ::testing::WithParamInterface<LastState> {};

TEST_P(DeadClient, GivesItsSlotBackWhenNoWorkerHoldsIt) {
  const auto child = start(GetParam(), kMortal);
  ASSERT_TRUE(await_slot(GetParam().slot, kMortal));
  kill_and_reclaim(*child, kMortal);
  if (call_) {
    EXPECT_EQ(pool_.segment().busy_slots(0), 1u) << "quarantined while the worker has it";
    EXPECT_TRUE(seat_.cancelled(*call_));
    EchoWorker::echo(seat_, *call_);
  }
  EXPECT_FALSE(seat_.try_next().has_value()) << "nobody asks for that call any more";
  expect_whole_pool();
}

INSTANTIATE_TEST_SUITE_P(InEachState, DeadClient, ::testing::ValuesIn(kLastStates),
                         [](const auto& state) { return std::string(state.param.name); });

TEST_F(DeadClients, LeaveNoPlaceInTheWaitingLine) {
  const std::vector<shm::Claim> held = hold_all();
  ChildProcess child([&] { return slots().claim(kMortal, kNoSlot, kNever).ok(); });
  ASSERT_TRUE(await_waiting(1));
  kill_and_reclaim(child, kMortal);
  EXPECT_EQ(waiter_state(0), WaiterState::kVacant);
  for (const shm::Claim& claim : held) release(claim);
  expect_whole_pool();
}

TEST_F(DeadClients, MayBeAllThereAre) {
  // Each in another state, one that waits, and the worker in the midst of two calls.
  std::vector<std::unique_ptr<ChildProcess>> clients;
  std::vector<shm::RunningCall> running;
  std::uint16_t index = kHolder;
  for (const LastState& last : kLastStates) {
    clients.push_back(start(last, ++index));
    ASSERT_TRUE(await_slot(last.slot, index));
    if (call_) running.push_back(*std::exchange(call_, std::nullopt));
  }
  clients.push_back(std::make_unique<ChildProcess>(
      [&, waiting = ++index] { return slots().claim(waiting, kNoSlot, kNever).ok(); }));
  ASSERT_TRUE(await_waiting(1));
  for (const auto& client : clients) client->kill();
  for (const auto& client : clients) EXPECT_TRUE(is_killed(*client));
  while (index > kHolder) shm::reclaim_client(slots(), index--);
  for (const shm::RunningCall& call : running) EchoWorker::echo(seat_, call);
  expect_whole_pool();
}

}  // namespace
}  // namespace slotring
