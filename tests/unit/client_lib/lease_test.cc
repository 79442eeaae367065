// Leases used in the wrong order, moved, and given back early.

#include "slotring/lease.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using shm::kNever;
using shm::SlotState;
using testing::EchoWorker;
using testing::LocalPool;
using testing::submit;
using testing::text_of;

class LeaseTest : public ::testing::Test {
 protected:
  LeaseTest() { pool_.publish_all(); }

  Lease claim() { return client_->claim(kNever).value(); }
  Lease send() { return submit(*client_, "hello").value(); }
  Lease finished() {
    Lease lease = send();
    EchoWorker::echo(seat_, seat_.try_next().value());
    (void)lease.wait().value();
    return lease;
  }
  static ErrorCode submit_error(Lease& lease, std::string_view method, std::size_t bytes = 0) {
    const Status sent = lease.submit(method, PayloadKind::kBytes, bytes);
    return sent ? ErrorCode::kOk : sent.error().code;
  }
  std::uint32_t busy() const { return pool_.segment().busy_slots(0); }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  shm::WorkerSeat seat_ = pool_.worker();
};

TEST_F(LeaseTest, RefusesToWaitBeforeItSubmitted) {
  Lease lease = claim();
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(lease.held());
}

TEST_F(LeaseTest, RefusesToSubmitTwice) {
  Lease lease = send();
  EXPECT_EQ(submit_error(lease, "echo"), ErrorCode::kInvalidArgument);
  EXPECT_EQ(lease.request(10).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(pool_.state(0), SlotState::kRequested) << "the first stands";
}

TEST_F(LeaseTest, RefusesToWaitTwice) {
  Lease lease = finished();
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(submit_error(lease, "echo"), ErrorCode::kInvalidArgument);
}

TEST_F(LeaseTest, RefusesToSubmitMoreThanItRequested) {
  Lease lease = claim();
  EXPECT_EQ(submit_error(lease, "echo", 1), ErrorCode::kPayloadTooLarge);
  ASSERT_TRUE(lease.request(100).ok());
  EXPECT_EQ(submit_error(lease, "echo", 101), ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(submit_error(lease, "echo", 100), ErrorCode::kOk);
}

TEST_F(LeaseTest, RefusesAMethodNameThatNoMethodHas) {
  Lease lease = claim();
  EXPECT_EQ(submit_error(lease, ""), ErrorCode::kInvalidArgument);
  EXPECT_EQ(submit_error(lease, std::string(64, 'm')), ErrorCode::kInvalidArgument);
  EXPECT_EQ(submit_error(lease, std::string(63, 'm')), ErrorCode::kOk);
}

TEST_F(LeaseTest, HoldsNothingAfterItWasMovedFrom) {
  Lease lease = claim();
  const Lease moved = std::move(lease);
  EXPECT_TRUE(moved.held());
  EXPECT_FALSE(lease.held());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(lease.request(1).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(submit_error(lease, "echo"), ErrorCode::kInvalidArgument);
}

TEST_F(LeaseTest, GivesItsSlotBackWhenAnotherIsMovedIn) {
  Lease lease = claim();
  lease = claim();
  EXPECT_EQ(busy(), 1u);
}

TEST_F(LeaseTest, StandsBeingMovedIntoItself) {
  Lease lease = claim();
  Lease& same = lease;
  lease = std::move(same);
  EXPECT_TRUE(lease.held());
  EXPECT_EQ(busy(), 1u);
}

TEST_F(LeaseTest, GivesItsSlotBackOnce) {
  Lease lease = finished();
  lease.release();
  const shm::SlotWord freed = pool_.word(0);
  lease.release();
  EXPECT_EQ(pool_.word(0), freed);
}

TEST_F(LeaseTest, GivesAnUnusedSlotBackForOthers) {
  claim().release();
  EXPECT_EQ(busy(), 0u);
  for (int i = 0; i < 20; ++i) claim().release();
}

TEST_F(LeaseTest, TakesARequestBackThatNoWorkerStarted) {
  send().release();
  EXPECT_EQ(busy(), 0u);
  EXPECT_FALSE(seat_.try_next().has_value()) << "nothing left to run";
}

TEST_F(LeaseTest, AbandonsACallThatAWorkerRuns) {
  Lease lease = send();
  const shm::RunningCall call = seat_.try_next().value();
  lease.release();
  EXPECT_EQ(pool_.state(call.slot), SlotState::kAbandoned);
  EchoWorker::echo(seat_, call);
  EXPECT_EQ(busy(), 0u);
}

TEST_F(LeaseTest, DropsAReplyThatNobodyReads) {
  Lease lease = send();
  EchoWorker::echo(seat_, seat_.try_next().value());
  lease.release();
  EXPECT_EQ(busy(), 0u);
}

TEST_F(LeaseTest, SubmitsPartOfWhatItRequested) {
  Lease lease = claim();
  const std::span<std::byte> space = lease.request(1000).value();
  space[0] = std::byte{'h'};
  ASSERT_TRUE(lease.submit("echo", PayloadKind::kBytes, 1).ok());
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_EQ(text_of(lease.wait().value()), "h");
}

}  // namespace
}  // namespace slotring
