// Calls whose worker dies: what the caller learns.

#include <signal.h>

#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using layout::SeatState;
using shm::kNever;
using shm::SlotState;
using testing::EchoWorker;
using testing::eventually;
using ::testing::HasSubstr;
using testing::LocalPool;
using testing::submit;
using testing::text_of;

class LostWorker : public ::testing::Test {
 protected:
  LostWorker() { pool_.publish_all(); }

  Lease send() { return submit(*client_, "hello").value(); }
  Lease send_and_start() {
    Lease lease = send();
    EXPECT_TRUE(seat_.try_next().has_value());
    return lease;
  }
  // What the supervisor does when it has reaped the worker.
  void lose(int wait_status, bool retired = false) const {
    pool_.set_seat(0, retired ? SeatState::kRetired : SeatState::kLost);
    shm::write_obituary(pool_.segment(), 0, 1, 4242, wait_status, "fatal: out of ink\n");
    shm::reclaim_worker(pool_.pool(), 0, 1, retired);
  }
  std::uint32_t busy() const { return pool_.segment().busy_slots(0); }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  shm::WorkerSeat seat_ = pool_.worker();
};

TEST_F(LostWorker, IsNamedWithItsSignalAndItsLastWords) {
  Lease lease = send_and_start();
  lose(SIGSEGV);
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerLost);
  EXPECT_EQ(error.message,
            "the worker (seat 0, pid 4242) was killed by signal 11 (SIGSEGV) during the call");
  EXPECT_EQ(error.traceback, "fatal: out of ink\n");
  EXPECT_FALSE(error.retryable) << "the handler may have had its effect";
}

TEST_F(LostWorker, IsNamedWithItsExitStatus) {
  Lease lease = send_and_start();
  lose(3 << 8);
  EXPECT_THAT(lease.wait().error().message, HasSubstr("exited with status 3 during the call"));
}

TEST_F(LostWorker, IsNamedWithASignalThatHasNoName) {
  Lease lease = send_and_start();
  lose(SIGRTMIN + 3);
  EXPECT_THAT(lease.wait().error().message, HasSubstr("signal " + std::to_string(SIGRTMIN + 3)));
}

TEST_F(LostWorker, MakesACallRetryableThatItNeverStarted) {
  Lease lease = send();
  lose(SIGKILL, /*retired=*/true);
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerLost);
  EXPECT_TRUE(error.retryable);
  EXPECT_THAT(error.message, HasSubstr("before it started the call"));
}

TEST_F(LostWorker, GivesTheSlotBackWithTheError) {
  Lease lease = send_and_start();
  lose(SIGKILL);
  (void)lease.wait().ok();
  EXPECT_FALSE(lease.held());
  EXPECT_EQ(busy(), 0u);
}

TEST_F(LostWorker, GivesTheSlotBackThoughNobodyAsksForTheError) {
  Lease lease = send_and_start();
  lose(SIGKILL);
  lease.release();
  EXPECT_EQ(busy(), 0u);
}

TEST_F(LostWorker, WakesACallerThatSleeps) {
  Lease lease = send_and_start();
  std::thread caller([&] { EXPECT_EQ(lease.wait().error().code, ErrorCode::kWorkerLost); });
  EXPECT_TRUE(eventually([&] { return pool_.word(0).has(layout::kFlagCallerSleeps); }));
  lose(SIGKILL);
  caller.join();
}

TEST_F(LostWorker, LeavesARequestToItsSuccessor) {
  Lease lease = send();
  lose(SIGKILL);
  shm::WorkerSeat successor = pool_.worker();
  pool_.publish(0, 2);
  EchoWorker::echo(successor, successor.try_next().value());
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(LostWorker, LeavesAReplyToItsCaller) {
  Lease lease = send();
  EchoWorker::echo(seat_, seat_.try_next().value());
  lose(SIGKILL);
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(LostWorker, TakesARequestThatIsSentWhileTheSeatIsEmpty) {
  Lease lease = client_->claim(kNever).value();
  lose(SIGKILL);
  EXPECT_TRUE(lease.submit("echo", PayloadKind::kEmpty, 0).ok());
  shm::WorkerSeat successor = pool_.worker();
  EchoWorker::echo(successor, successor.try_next().value());
  EXPECT_TRUE(lease.wait().ok());
}

TEST_F(LostWorker, RefusesARequestThatIsSentAfterTheSeatRetired) {
  Lease lease = client_->claim(kNever).value();
  lose(SIGKILL, /*retired=*/true);
  const Status sent = lease.submit("echo", PayloadKind::kEmpty, 0);
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(sent.error().retryable);
  EXPECT_FALSE(lease.held());
  EXPECT_EQ(busy(), 0u);
}

TEST_F(LostWorker, IsReadWithinBoundsWhateverItsObituarySays) {
  Lease lease = send_and_start();
  lose(SIGKILL);
  pool_.segment().obituary(0, 1).tail_bytes.store(0xFFFF);
  pool_.segment().obituary(0, 1).wait_status.store(~0);
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerLost);
  EXPECT_EQ(error.traceback.size(), sizeof(layout::Obituary::text));
}

TEST_F(LostWorker, IsReadWithinBoundsWhateverItsNoteSays) {
  for (const int note_bytes : {1, 2000, 2032, 0xFFFF}) {
    Lease lease = send_and_start();
    lose(SIGKILL);
    pool_.segment().obituary(0, 1).tail_bytes.store(0xFFFF);
    pool_.segment().obituary(0, 1).note_bytes.store(static_cast<std::uint16_t>(note_bytes));
    const Error error = lease.wait().error();
    const std::size_t read = std::min<std::size_t>(note_bytes, sizeof(layout::Obituary::text));
    EXPECT_EQ(error.traceback.size(), sizeof(layout::Obituary::text) - read);
    pool_.publish(0);
  }
}

TEST_F(LostWorker, TellsWhyTheSupervisorKilledIt) {
  Lease lease = send_and_start();
  lose(SIGKILL);
  shm::write_obituary(pool_.segment(), 0, 1, 4242, SIGKILL, "last words", "it took too long");
  const Error error = lease.wait().error();
  EXPECT_THAT(error.message, HasSubstr("SIGKILL) during the call: it took too long"));
  EXPECT_EQ(error.traceback, "last words");
}

}  // namespace
}  // namespace slotring
