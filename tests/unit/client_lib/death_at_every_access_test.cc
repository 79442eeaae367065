// Every operation of the protocol, killed at each of its accesses to the control segment, one after
// the other. However it was cut off: after the reaper's walks every slot is free, and is listed so
// that a claim finds it.

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/local_pool.h"
#include "tests/support/mortal_process.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using layout::SeatState;
using layout::SlotState;
using shm::SlotIndex;
using testing::EchoWorker;
using testing::LocalPool;

constexpr std::uint16_t kClient = 1;
constexpr std::uint16_t kLiving = 2;
constexpr std::uint32_t kSlots = 3;

// What a process has at hand when its last operation begins.
struct Peers {
  explicit Peers(const LocalPool& shared)
      : pool(&shared), client(shared.client(kClient)), seat(shared.worker()) {}

  void submit() { lease = testing::submit(*client, "hello").value(); }
  void start() {
    submit();
    call = seat.try_next().value();
  }

  const LocalPool* pool;
  std::unique_ptr<internal::ClientCore> client;
  shm::WorkerSeat seat;
  std::optional<Lease> lease;
  std::optional<shm::RunningCall> call;
};

struct LastOperation {
  const char* name;
  std::function<void(Peers&)> prepare;
  std::function<void(Peers&)> run;
};

std::ostream& operator<<(std::ostream& out, const LastOperation& o) { return out << o.name; }

void nothing(Peers&) {}

// Slots in several states, for walks to find.
void leave_slots_in_all_states(Peers& peers) {
  peers.start();
  peers.pool->set_word(1, {5, kClient, SlotState::kClaimed, 0});
  peers.pool->set_word(2, {5, kClient, SlotState::kAbandoned, layout::kFlagListed});
  (void)peers.pool->pool().line().try_register(kClient).has_value();
}

const LastOperation kOperations[] = {
    {"Claim", nothing, [](Peers& p) { p.lease = p.client->claim(shm::kNever).value(); }},
    {"Submit", [](Peers& p) { p.lease = p.client->claim(shm::kNever).value(); },
     [](Peers& p) { p.lease->submit("echo", PayloadKind::kEmpty, 0).value(); }},
    {"ReleaseClaimed", [](Peers& p) { p.lease = p.client->claim(shm::kNever).value(); },
     [](Peers& p) { p.lease->release(); }},
    {"ReleaseRequested", [](Peers& p) { p.submit(); }, [](Peers& p) { p.lease->release(); }},
    {"ReleaseRunning", [](Peers& p) { p.start(); }, [](Peers& p) { p.lease->release(); }},
    {"WaitAndRelease",
     [](Peers& p) {
       p.start();
       EchoWorker::echo(p.seat, *p.call);
     },
     [](Peers& p) {
       (void)p.lease->wait().value();
       p.lease->release();
     }},
    {"TryNext", [](Peers& p) { p.submit(); }, [](Peers& p) { p.call = p.seat.try_next(); }},
    {"Reply", [](Peers& p) { p.start(); }, [](Peers& p) { EchoWorker::echo(p.seat, *p.call); }},
    {"ReplyToNobody",
     [](Peers& p) {
       p.start();
       p.lease->release();
     },
     [](Peers& p) { EchoWorker::echo(p.seat, *p.call); }},
    {"WholeCall", nothing,
     [](Peers& p) {
       p.start();
       EchoWorker::echo(p.seat, *p.call);
       (void)p.lease->wait().value();
       p.lease->release();
     }},
    {"ClaimInVain",
     [](Peers& p) {
       for (SlotIndex slot = 0; slot < kSlots; ++slot) {
         p.pool->set_word(slot, {5, kClient, SlotState::kClaimed, 0});
       }
     },
     [](Peers& p) { (void)p.client->claim(1).ok(); }},
    {"Publish", nothing, [](Peers& p) { p.pool->publish(0, 2); }},
    {"ReclaimClient", leave_slots_in_all_states,
     [](Peers& p) { shm::reclaim_client(p.pool->pool(), kClient); }},
    {"ReclaimWorker", leave_slots_in_all_states,
     [](Peers& p) { shm::reclaim_worker(p.pool->pool(), 0, 1, false); }},
    {"ReclaimRetiredWorker", leave_slots_in_all_states,
     [](Peers& p) { shm::reclaim_worker(p.pool->pool(), 0, 1, true); }},
    {"AuditHints", leave_slots_in_all_states, [](Peers& p) { shm::audit_hints(p.pool->pool()); }},
};

class DeathAtEveryAccess : public ::testing::TestWithParam<LastOperation> {
 protected:
  // All processes of the pool are dead: what the supervisor does about them.
  static void mourn(const LocalPool& pool) {
    pool.set_seat(0, SeatState::kLost);
    shm::write_obituary(pool.segment(), 0, 1, 4242, SIGKILL, "");
    shm::reclaim_client(pool.pool(), kClient);
    shm::reclaim_worker(pool.pool(), 0, 1, /*retired=*/false);
    // A successor may have been given the request first.
    shm::reclaim_client(pool.pool(), kClient);
    pool.publish(0, 2);
  }
  static void expect_whole_pool(const LocalPool& pool) {
    EXPECT_EQ(pool.segment().busy_slots(0), 0u);
    EXPECT_EQ(pool.pool().line().count_waiting(), 0u);
    std::uint32_t claimable = 0;
    while (pool.pool().try_claim(kLiving)) ++claimable;
    EXPECT_EQ(claimable, kSlots);
  }
  // Somebody else waited all the time: the audit wakes it, whoever died with its wake.
  static void expect_woken(const LocalPool& pool, shm::WaiterIndex waiter) {
    shm::audit_waiters(pool.pool());
    EXPECT_TRUE(pool.pool().line().sleep(waiter, 1));
    pool.pool().line().leave(waiter);
    EXPECT_FALSE(pool.pool().line().wake_one()) << "nobody is left in the line";
  }
  static bool survives(int fatal, bool somebody_waits) {
    const LocalPool pool(testing::small_geometry(1, kSlots));
    pool.publish_all();
    const auto waiter = somebody_waits ? pool.pool().line().try_register(kLiving) : std::nullopt;
    const auto prepare = [&] {
      auto peers = std::make_unique<Peers>(pool);
      GetParam().prepare(*peers);
      return peers;
    };
    const auto run = [](auto& peers) { GetParam().run(*peers); };
    const bool survived = testing::survives_access(pool.segment(), fatal, prepare, run);
    mourn(pool);
    if (waiter) expect_woken(pool, *waiter);
    expect_whole_pool(pool);
    return survived;
  }
  static void try_all_deaths(bool somebody_waits) {
    if (!testing::kDeathsAtAccesses) GTEST_SKIP() << "needs x86-64";
    testing::RandomSource random;
    int fatal = 0;
    while (!survives(fatal, somebody_waits)) {
      ASSERT_FALSE(HasFailure()) << "killed at access " << fatal;
      // Where a process costs much, some of the accesses, others each time.
      fatal += testing::kInstrumented ? 1 + static_cast<int>(random.below(16)) : 1;
      ASSERT_LT(fatal, 5000);
    }
    EXPECT_GT(fatal, 0) << "it accessed nothing";
  }
};

TEST_P(DeathAtEveryAccess, LeavesNothingThatIsNotReclaimed) { try_all_deaths(false); }

TEST_P(DeathAtEveryAccess, LeavesNobodyWaitingForAFreeSlot) { try_all_deaths(true); }

INSTANTIATE_TEST_SUITE_P(OfEachOperation, DeathAtEveryAccess, ::testing::ValuesIn(kOperations),
                         [](const auto& operation) { return std::string(operation.param.name); });

}  // namespace
}  // namespace slotring
