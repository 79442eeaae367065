// Every operation of the protocol, killed at each of its accesses to the control segment, one after
// the other. However it was cut off: after the reaper's walks every slot is free, and is listed so
// that a claim finds it.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/last_operation.h"
#include "tests/support/local_pool.h"
#include "tests/support/mortal_process.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using layout::SeatState;
using testing::kOperatedSlots;
using testing::kOperatingClient;
using testing::LastOperation;
using testing::LocalPool;
using testing::Peers;

constexpr std::uint16_t kLiving = 2;

// But for those that another process would have to wake.
std::vector<LastOperation> operations_that_stay_awake() {
  std::vector<LastOperation> awake;
  for (const LastOperation& operation : testing::last_operations()) {
    if (!operation.sleeps) awake.push_back(operation);
  }
  return awake;
}

class DeathAtEveryAccess : public ::testing::TestWithParam<LastOperation> {
 protected:
  // All processes of the pool are dead: what the supervisor does about them.
  static void mourn(const LocalPool& pool) {
    pool.set_seat(0, SeatState::kLost);
    shm::write_obituary(pool.segment(), 0, 1, 4242, SIGKILL, "");
    shm::reclaim_client(pool.pool(), kOperatingClient);
    shm::reclaim_worker(pool.pool(), 0, 1, /*retired=*/false);
    // A successor may have been given the request first.
    shm::reclaim_client(pool.pool(), kOperatingClient);
    pool.publish(0, 2);
  }
  static void expect_whole_pool(const LocalPool& pool) {
    EXPECT_EQ(pool.segment().busy_slots(0), 0u);
    EXPECT_EQ(pool.pool().line().count_waiting(), 0u);
    std::uint32_t claimable = 0;
    while (pool.pool().try_claim(kLiving)) ++claimable;
    EXPECT_EQ(claimable, kOperatedSlots);
  }
  // Somebody else waited all the time: the audit wakes it, whoever died with its wake.
  static void expect_woken(const LocalPool& pool, shm::WaiterIndex waiter) {
    shm::audit_waiters(pool.pool());
    EXPECT_TRUE(pool.pool().line().sleep(waiter, 1));
    pool.pool().line().leave(waiter);
    EXPECT_FALSE(pool.pool().line().wake_one()) << "nobody is left in the line";
  }
  static bool survives(int fatal, bool somebody_waits) {
    const LocalPool pool(testing::small_geometry(1, kOperatedSlots));
    pool.publish_all();
    const auto waiter = somebody_waits ? pool.pool().line().try_register(kLiving) : std::nullopt;
    const auto prepare = [&] {
      auto peers = std::make_unique<Peers>(pool);
      peers->attach();
      GetParam().prepare(*peers);
      return peers;
    };
    const auto run = [](auto& peers) { EXPECT_TRUE(GetParam().run(*peers)); };
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

INSTANTIATE_TEST_SUITE_P(OfEachOperation, DeathAtEveryAccess,
                         ::testing::ValuesIn(operations_that_stay_awake()),
                         [](const auto& operation) { return std::string(operation.param.name); });

}  // namespace
}  // namespace slotring
