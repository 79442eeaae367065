#include "client_lib/shm/worker_spread.h"

#include <gtest/gtest.h>

#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using testing::LocalPool;
using testing::small_geometry;

class WorkerSpreadTest : public ::testing::Test {
 protected:
  WorkerSpreadTest() : pool_(small_geometry(4, 1)) {
    pool_.publish_all();
    CPU_ZERO(&usable_);
    for (const int cpu : {2, 3, 5}) CPU_SET(cpu, &usable_);
  }
  void run_on(SeatIndex seat, std::uint32_t cpu) const {
    pool_.segment().seat(seat).cpu.store(cpu + 1);
  }
  std::optional<std::uint32_t> better(SeatIndex seat) const {
    return better_cpu(pool_.segment(), seat, usable_);
  }

  LocalPool pool_;
  cpu_set_t usable_;
};

TEST_F(WorkerSpreadTest, MovesTheFirstOfTwoThatShareACpu) {
  run_on(0, 3);
  run_on(1, 3);
  EXPECT_EQ(better(0), 2u);
  EXPECT_EQ(better(1), std::nullopt) << "one at a time";
}

TEST_F(WorkerSpreadTest, MovesToTheCpuWithTheFewest) {
  for (const SeatIndex seat : {0u, 1u, 2u}) run_on(seat, 2);
  run_on(3, 3);
  EXPECT_EQ(better(0), 5u);
}

TEST_F(WorkerSpreadTest, LeavesAWorkerWhereMovingWouldNotHelp) {
  run_on(0, 2);
  run_on(1, 2);
  run_on(2, 3);
  run_on(3, 5);
  for (SeatIndex seat = 0; seat < 4; ++seat) EXPECT_EQ(better(seat), std::nullopt);
}

TEST_F(WorkerSpreadTest, CountsNoSeatWithoutAWorker) {
  run_on(0, 2);
  run_on(1, 2);
  pool_.set_seat(1, layout::SeatState::kDormant);
  EXPECT_EQ(better(0), std::nullopt);
}

// Any peer may have written it.
TEST_F(WorkerSpreadTest, IgnoresWhatCannotBeACpu) {
  run_on(0, ~0u - 1);
  run_on(1, 1'000'000);
  EXPECT_EQ(better(0), std::nullopt);
}

TEST_F(WorkerSpreadTest, LeavesTheThreadsAffinityAsItWas) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  for (SeatIndex seat = 0; seat < 4; ++seat) {
    run_on(seat, static_cast<std::uint32_t>(::sched_getcpu()));
  }
  spread(pool_.segment(), 0);
  cpu_set_t after;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

}  // namespace
}  // namespace slotring::shm
