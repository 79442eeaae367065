#include "supervisor/pool_audit.h"

#include <atomic>
#include <chrono>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::supervisor {
namespace {

using std::chrono::milliseconds;
using testing::EchoWorker;
using testing::eventually;
using testing::LocalPool;
using testing::submit;

class PoolAuditTest : public ::testing::Test {
 protected:
  PoolAuditTest() { pool_.publish_all(); }

  std::unique_ptr<PoolAudit> audit(milliseconds limit) {
    return std::make_unique<PoolAudit>(pool_.pool(), limit, [this](shm::SeatIndex seat) {
      last_seat_ = seat;
      ++reports_;
    });
  }
  // What a worker's pulse does once a call runs.
  void ring() const { pool_.pool().line().ring_audit(); }
  bool sleeps() const { return pool_.segment().header().audit_bell.load() >> 31 != 0; }

  LocalPool pool_{testing::small_geometry(2, 2)};
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  shm::WorkerSeat seat_ = pool_.worker(1);
  std::atomic<shm::SeatIndex> last_seat_{99};
  std::atomic<int> reports_{0};
};

// A call that seat 1 runs.
shm::RunningCall start(internal::ClientCore& client, shm::WorkerSeat& seat,
                       std::vector<Lease>& leases) {
  for (;;) {
    leases.push_back(submit(client, "hello").value());
    if (const auto call = seat.try_next()) return *call;
  }
}

TEST_F(PoolAuditTest, ReportsTheSeatOfACallThatRunsTooLong) {
  std::vector<Lease> leases;
  const auto running = audit(milliseconds(100));
  ASSERT_TRUE(eventually([&] { return sleeps(); }));
  (void)start(*client_, seat_, leases);
  ring();
  EXPECT_TRUE(eventually([&] { return reports_ > 0; }));
  EXPECT_EQ(last_seat_, 1u);
}

TEST_F(PoolAuditTest, ReportsACallThatRanBeforeIt) {
  std::vector<Lease> leases;
  (void)start(*client_, seat_, leases);
  const auto running = audit(milliseconds(100));
  EXPECT_TRUE(eventually([&] { return reports_ > 0; }));
}

TEST_F(PoolAuditTest, ReportsAnAbandonedCallToo) {
  std::vector<Lease> leases;
  (void)start(*client_, seat_, leases);
  for (Lease& lease : leases) lease.release();
  const auto running = audit(milliseconds(100));
  EXPECT_TRUE(eventually([&] { return reports_ > 0; }));
}

TEST_F(PoolAuditTest, SleepsAgainWhenTheCallIsOver) {
  std::vector<Lease> leases;
  const shm::RunningCall call = start(*client_, seat_, leases);
  const auto running = audit(milliseconds(100));
  ASSERT_TRUE(eventually([&] { return reports_ > 0; }));
  EchoWorker::echo(seat_, call);
  ring();
  EXPECT_TRUE(eventually([&] { return sleeps(); }));
  const int reports = reports_;
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(reports_, reports);
}

TEST_F(PoolAuditTest, SaysThatSomebodyWaitsWhileSomebodyDoesAndNoLonger) {
  std::atomic<int> first{0};
  std::atomic<int> still{0};
  PoolAudit running(
      pool_.pool(), milliseconds(0), [](shm::SeatIndex) {}, [] {},
      [&](bool waited_before) { ++(waited_before ? still : first); });
  ASSERT_TRUE(eventually([&] { return sleeps(); }));
  EXPECT_EQ(first + still, 0);
  const shm::WaiterIndex waiter = pool_.pool().line().try_register(3).value();
  ring();
  EXPECT_TRUE(eventually([&] { return still > 2; }));
  EXPECT_EQ(first, 1);
  pool_.pool().line().leave(waiter);
  EXPECT_TRUE(eventually([&] { return sleeps(); }));
}

TEST_F(PoolAuditTest, SleepsThroughCallsWithoutALimit) {
  std::vector<Lease> leases;
  (void)start(*client_, seat_, leases);
  const auto running = audit(milliseconds(0));
  for (int i = 0; i < 3; ++i) {
    ring();
    EXPECT_TRUE(eventually([&] { return sleeps(); }));
  }
  EXPECT_EQ(reports_, 0);
}

}  // namespace
}  // namespace slotring::supervisor
