// Words that say that this client or this worker holds what it does not hold: it takes them back,
// and none that it does hold.

#include "client_lib/shm/own_places.h"

#include <thread>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using layout::SlotState;
using layout::SlotWord;
using testing::LocalPool;
using testing::submit;

class OwnPlacesTest : public ::testing::Test {
 protected:
  OwnPlacesTest() {
    pool_.publish_all();
    pool_.intern("echo");
  }
  void announce_repair() const { pool_.segment().header().repair_epoch.fetch_add(1); }
  // What follows a repair in this client: its next claim looks around.
  void look() {
    announce_repair();
    (void)client_->claim(1).ok();
  }
  // It looks around at each call of try_next() out of so many.
  void let_worker_look() {
    for (int i = 0; i < 1024; ++i) EXPECT_FALSE(worker_.try_next().has_value());
  }
  void pretend(shm::SlotIndex slot, SlotState state) const {
    pool_.set_word(slot, {77, 0, state, 0});
  }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client(0);
  shm::WorkerSeat worker_ = pool_.worker();
};

TEST_F(OwnPlacesTest, AClientFreesSlotsThatItDoesNotHold) {
  pretend(0, SlotState::kClaimed);
  pretend(1, SlotState::kRequested);
  pretend(2, SlotState::kReplied);
  look();
  for (shm::SlotIndex slot = 0; slot < 3; ++slot) EXPECT_EQ(pool_.state(slot), SlotState::kFree);
}

TEST_F(OwnPlacesTest, AClientAbandonsACallThatItDidNotSendAndTheWorkerFreesIt) {
  pretend(0, SlotState::kRunning);
  look();
  EXPECT_EQ(pool_.state(0), SlotState::kAbandoned);
  let_worker_look();
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
}

TEST_F(OwnPlacesTest, AClientKeepsWhatItHolds) {
  const Lease claimed = client_->claim(shm::kNever).value();
  Lease running = submit(*client_, "running").value();
  const auto call = worker_.try_next();
  Lease requested = submit(*client_, "requested").value();
  look();
  EXPECT_EQ(pool_.segment().busy_slots(0), 3u);
  testing::EchoWorker::echo(worker_, *call);
  look();
  EXPECT_EQ(testing::text_of(running.wait().value()), "running");
}

TEST_F(OwnPlacesTest, AClientForgetsWhatItGaveUp) {
  Lease lease = submit(*client_, "hello").value();
  const auto call = worker_.try_next();
  const SlotWord word = pool_.word(call->slot);
  lease.release();
  EXPECT_EQ(pool_.state(call->slot), SlotState::kAbandoned);
  pool_.set_word(call->slot, {word.generation, word.owner, SlotState::kReplied, 0});
  look();
  EXPECT_EQ(pool_.state(call->slot), SlotState::kFree);
}

TEST_F(OwnPlacesTest, AClientForgetsWhatItReleased) {
  Lease lease = client_->claim(shm::kNever).value();
  const SlotWord word = pool_.word(0);
  lease.release();
  pool_.set_word(0, {word.generation, word.owner, SlotState::kReplied, 0});
  look();
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
}

TEST_F(OwnPlacesTest, AClientWhoseWordWasScribbledOverSaysSoAndLosesTheSlotOnly) {
  Lease lease = submit(*client_, "hello").value();
  pretend(0, SlotState::kReplied);
  ASSERT_EQ(lease.wait().error().code, ErrorCode::kBadSegment);
  look();
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
}

TEST_F(OwnPlacesTest, AClientVacatesPlacesInLineWhereItDoesNotWait) {
  using layout::WaiterState;
  const layout::WaiterWord pretended{7, 0, WaiterState::kWaiting, 0};
  const layout::WaiterWord anothers{7, 1, WaiterState::kWaiting, 0};
  pool_.segment().waiter_word(0).store(pretended.pack());
  pool_.segment().waiter_word(1).store(anothers.pack());
  look();
  EXPECT_EQ(pool_.pool().line().count_waiting(), 1u);
}

TEST_F(OwnPlacesTest, AWorkerAnswersACallThatItDoesNotRunBeforeItSleeps) {
  Lease lease = submit(*client_, "hello").value();
  const SlotWord requested = pool_.word(0);
  pool_.set_word(0, {requested.generation, requested.owner, SlotState::kRunning, 0});
  const testing::EchoWorker sleeper(pool_);
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kBadSegment);
}

TEST_F(OwnPlacesTest, AWorkerThatIsNeverIdleLooksNowAndThen) {
  pretend(3, SlotState::kAbandoned);
  let_worker_look();
  EXPECT_EQ(pool_.state(3), SlotState::kFree);
}

TEST_F(OwnPlacesTest, AWorkerKeepsWhatItRuns) {
  Lease first = submit(*client_, "first").value();
  Lease second = submit(*client_, "second").value();
  const auto one = worker_.try_next();
  const auto two = worker_.try_next();
  second.release();
  let_worker_look();
  EXPECT_EQ(pool_.state(one->slot), SlotState::kRunning);
  EXPECT_EQ(pool_.state(two->slot), SlotState::kAbandoned);
}

// Claims, releases and looks of many threads: none takes away what another holds.
TEST_F(OwnPlacesTest, ThreadsOfOneClientTakeNothingFromEachOther) {
  std::atomic<int> lost{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < testing::effort(20'000); ++round) {
        announce_repair();
        Result<Lease> lease = client_->claim(testing::soon(20'000));
        if (!lease || !lease->submit("echo", PayloadKind::kEmpty, 0)) ++lost;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lost.load(), 0);
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

}  // namespace
}  // namespace slotring
