// Calls whose deadline passes: each ends once, its slot comes back once, and no late reply reaches
// anybody.

#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using shm::kNever;
using shm::SlotState;
using testing::EchoWorker;
using testing::eventually;
using testing::LocalPool;
using testing::soon;
using testing::submit;
using testing::text_of;

class Deadline : public ::testing::Test {
 protected:
  Deadline() { pool_.publish_all(); }

  Lease send(std::string_view text, shm::MonotonicNs deadline) {
    return submit(*client_, text, deadline).value();
  }

  LocalPool pool_{testing::small_geometry(1, 2)};
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  shm::WorkerSeat seat_ = pool_.worker();
  // Of a call that must be started before.
  static constexpr int kLaterMs = 100;
};

TEST_F(Deadline, EndsACallThatNoWorkerStartedAndFreesItsSlotAtOnce) {
  const shm::MonotonicNs deadline = soon(3);
  Lease lease = send("hello", deadline);
  const Error error = lease.wait().error();
  EXPECT_GE(shm::monotonic_now(), deadline);
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(error.retryable) << "nothing ran";
  EXPECT_FALSE(lease.held());
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
  EXPECT_EQ(pool_.word(0).generation, 1u);
}

TEST_F(Deadline, LeavesNothingForTheWorkerOfACallThatItEnded) {
  (void)send("hello", soon(1)).wait().ok();
  EXPECT_FALSE(seat_.try_next().has_value());
}

TEST_F(Deadline, EndsARunningCallAndQuarantinesItsSlot) {
  Lease lease = send("hello", soon(kLaterMs));
  const shm::RunningCall call = seat_.try_next().value();
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(error.retryable) << "it may have run";
  EXPECT_EQ(pool_.state(call.slot), SlotState::kAbandoned);
  EXPECT_TRUE(seat_.cancelled(call));
}

TEST_F(Deadline, GivesAQuarantinedSlotToNobody) {
  Lease late = send("late", soon(kLaterMs));
  EXPECT_TRUE(seat_.try_next().has_value());
  (void)late.wait().ok();
  const Lease other = client_->claim(kNever).value();
  EXPECT_EQ(client_->claim(soon(1)).error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(Deadline, GetsTheSlotBackWhenTheWorkerLetsGo) {
  Lease lease = send("hello", soon(kLaterMs));
  const shm::RunningCall call = seat_.try_next().value();
  (void)lease.wait().ok();
  EchoWorker::echo(seat_, call);
  EXPECT_EQ(pool_.state(call.slot), SlotState::kFree);
  EXPECT_EQ(pool_.word(call.slot).generation, call.word.generation + 1);
}

TEST_F(Deadline, LetsNoLateReplyReachTheNextCallOfTheSlot) {
  int started = 0;
  for (int i = 0; i < 20; ++i) {
    Lease late = send("late", soon(20));
    const std::optional<shm::RunningCall> running = seat_.try_next();
    (void)late.wait().ok();
    if (!running) continue;  // on a slow machine it was late before it started
    ++started;
    EchoWorker::echo(seat_, *running);
    Lease next = send("next", kNever);
    EchoWorker::echo(seat_, seat_.try_next().value());
    EXPECT_EQ(text_of(next.wait().value()), "next");
  }
  EXPECT_GT(started, 0);
}

TEST_F(Deadline, PrefersAReplyThatIsThereToADeadlineThatHasPassed) {
  const shm::MonotonicNs deadline = soon(1);
  Lease lease = send("hello", kNever);
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_TRUE(eventually([&] { return shm::monotonic_now() > deadline; }));
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(Deadline, CountsAsAnErrorOfTheClient) {
  (void)send("hello", soon(1)).wait().ok();
  EXPECT_EQ(pool_.segment().client(0).errors.load(), 1u);
}

TEST_F(Deadline, GivesMemoryOfALargeRequestBackWhenItIsTakenBack) {
  (void)send(std::string(200'000, 'x'), soon(1)).wait().ok();
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
  EXPECT_EQ(pool_.requests().area(0)[100'000], std::byte{0});
}

TEST_F(Deadline, MeansNoDeadlineWhenThereIsNoTimeout) {
  EXPECT_EQ(internal::deadline_after(kNoTimeout), kNever);
}

TEST_F(Deadline, HasPassedAtOnceWithAnEmptyOrNegativeTimeout) {
  for (const int milliseconds : {0, -1000}) {
    const auto deadline = internal::deadline_after(std::chrono::milliseconds(milliseconds));
    EXPECT_NE(deadline, kNever);
    EXPECT_LE(deadline, shm::monotonic_now());
  }
}

TEST_F(Deadline, LiesAheadByALongTimeout) {
  const auto deadline = internal::deadline_after(std::chrono::hours(24 * 365 * 100));
  EXPECT_GT(deadline, shm::monotonic_now());
}

// The caller sleeps in the kernel while its call is ended by the worker, for good or ill.
TEST_F(Deadline, IsAsleepWhenTheReplyComesAndIsWoken) {
  Lease lease = send("hello", kNever);
  std::thread caller([&] { EXPECT_EQ(text_of(lease.wait().value()), "hello"); });
  const shm::RunningCall call = seat_.try_next().value();
  EXPECT_TRUE(eventually([&] { return pool_.word(call.slot).has(layout::kFlagCallerSleeps); }));
  EchoWorker::echo(seat_, call);
  caller.join();
}

TEST_F(Deadline, LeavesNoSleepFlagToTheNextCallOfTheSlot) {
  Lease lease = send("hello", kNever);
  const shm::RunningCall call = seat_.try_next().value();
  shm::SlotWord asleep = pool_.word(call.slot);
  asleep.flags |= layout::kFlagCallerSleeps;
  pool_.set_word(call.slot, asleep);
  lease.release();
  EXPECT_TRUE(pool_.word(call.slot).has(layout::kFlagCallerSleeps)) << "abandoned";
  EchoWorker::echo(seat_, call);
  EXPECT_FALSE(pool_.word(call.slot).has(layout::kFlagCallerSleeps)) << "free";
}

}  // namespace
}  // namespace slotring
