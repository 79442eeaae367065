// Calls that are cancelled through their stop token, wherever they wait: each ends at once and
// once, and its slot comes back once.

#include <atomic>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using shm::kNever;
using shm::SlotState;
using testing::EchoWorker;
using testing::effort;
using testing::eventually;
using testing::LocalPool;
using testing::soon;
using testing::text_of;

class Cancel : public ::testing::Test {
 protected:
  Cancel() { pool_.publish_all(); }

  Result<Lease> send(std::string_view text, const std::stop_token& stop) {
    Result<Lease> lease = client_->claim(kNever, stop);
    if (!lease) return lease;
    std::memcpy(lease->request(text.size()).value().data(), text.data(), text.size());
    lease->submit("echo", PayloadKind::kBytes, text.size()).value();
    return lease;
  }
  std::uint32_t cancels_told() const { return pool_.segment().seat(0).cancel_bell.load(); }
  bool await_sleeper(shm::SlotIndex slot) const {
    return eventually([&] { return pool_.word(slot).has(layout::kFlagCallerSleeps); });
  }

  LocalPool pool_{testing::small_geometry(1, 2)};
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  shm::WorkerSeat seat_ = pool_.worker();
  std::stop_source stop_;
};

TEST_F(Cancel, RefusesAClaimWhoseStopWasRequestedBefore) {
  stop_.request_stop();
  const Error error = client_->claim(kNever, stop_.get_token()).error();
  EXPECT_EQ(error.code, ErrorCode::kCancelled);
  EXPECT_TRUE(error.retryable);
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

TEST_F(Cancel, TakesBackACallThatNoWorkerStartedAndFreesItsSlot) {
  Lease lease = send("hello", stop_.get_token()).value();
  stop_.request_stop();
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kCancelled);
  EXPECT_TRUE(error.retryable) << "nothing ran";
  EXPECT_FALSE(lease.held());
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
  EXPECT_FALSE(seat_.try_next().has_value());
  EXPECT_EQ(cancels_told(), 0u);
}

TEST_F(Cancel, AbandonsARunningCallAndTellsItsWorker) {
  Lease lease = send("hello", stop_.get_token()).value();
  const shm::RunningCall call = seat_.try_next().value();
  stop_.request_stop();
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kCancelled);
  EXPECT_FALSE(error.retryable) << "it may have run";
  EXPECT_EQ(pool_.state(call.slot), SlotState::kAbandoned);
  EXPECT_TRUE(seat_.cancelled(call));
  EXPECT_EQ(cancels_told(), 1u);
}

TEST_F(Cancel, PrefersAReplyThatIsThere) {
  Lease lease = send("hello", stop_.get_token()).value();
  EchoWorker::echo(seat_, seat_.try_next().value());
  stop_.request_stop();
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(Cancel, CountsAsAnErrorOfTheClient) {
  Lease lease = send("hello", stop_.get_token()).value();
  stop_.request_stop();
  (void)lease.wait().ok();
  EXPECT_EQ(pool_.segment().client(0).errors.load(), 1u);
}

TEST_F(Cancel, WakesACallerThatSleepsWhileItsCallRuns) {
  Lease lease = send("hello", stop_.get_token()).value();
  const shm::RunningCall call = seat_.try_next().value();
  std::thread caller([&] { EXPECT_EQ(lease.wait().error().code, ErrorCode::kCancelled); });
  EXPECT_TRUE(await_sleeper(call.slot));
  stop_.request_stop();
  caller.join();
  EXPECT_EQ(pool_.state(call.slot), SlotState::kAbandoned);
}

TEST_F(Cancel, WakesACallerThatSleepsWhileItsCallIsQueued) {
  Lease lease = send("hello", stop_.get_token()).value();
  std::thread caller([&] { EXPECT_TRUE(lease.wait().error().retryable); });
  EXPECT_TRUE(await_sleeper(0));
  stop_.request_stop();
  caller.join();
  EXPECT_EQ(pool_.state(0), SlotState::kFree);
}

TEST_F(Cancel, LetsTheLateReplyReachNobody) {
  Lease cancelled = send("late", stop_.get_token()).value();
  const shm::RunningCall running = seat_.try_next().value();
  stop_.request_stop();
  (void)cancelled.wait().ok();
  EchoWorker::echo(seat_, running);
  EXPECT_EQ(pool_.state(running.slot), SlotState::kFree);
  EXPECT_EQ(pool_.word(running.slot).generation, running.word.generation + 1);
  Lease next = send("next", std::stop_token()).value();
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_EQ(text_of(next.wait().value()), "next");
}

TEST_F(Cancel, MovesWithItsLease) {
  Lease lease = send("hello", stop_.get_token()).value();
  Lease moved = std::move(lease);
  stop_.request_stop();
  EXPECT_EQ(moved.wait().error().code, ErrorCode::kCancelled);
}

TEST_F(Cancel, EndsEveryCallOfItsToken) {
  Lease first = send("a", stop_.get_token()).value(), second = send("b", stop_.get_token()).value();
  stop_.request_stop();
  EXPECT_EQ(first.wait().error().code, ErrorCode::kCancelled);
  EXPECT_EQ(second.wait().error().code, ErrorCode::kCancelled);
}

TEST_F(Cancel, LeavesTheCallsOfOtherTokensAlone) {
  Lease lease = send("hello", std::stop_source().get_token()).value();
  stop_.request_stop();
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(Cancel, EndsACallerThatWaitsForAFreeSlot) {
  const Lease first = client_->claim(kNever).value(), second = client_->claim(kNever).value();
  std::thread caller([&] {
    const Error error = client_->claim(kNever, stop_.get_token()).error();
    EXPECT_EQ(error.code, ErrorCode::kCancelled);
    EXPECT_TRUE(error.retryable);
  });
  EXPECT_TRUE(eventually([&] { return pool_.pool().line().count_waiting() == 1; }));
  stop_.request_stop();
  caller.join();
  EXPECT_EQ(pool_.pool().line().count_waiting(), 0u);
}

// Whatever the worker does at the moment: one outcome each, and every slot comes back.
TEST_F(Cancel, RacesRepliesWithoutLosingACallOrASlot) {
  const EchoWorker worker(pool_);
  testing::RandomSource random;
  int replied = 0, cancelled = 0;
  for (int i = 0; i < effort(2000); ++i) {
    std::stop_source stop;
    const auto spins = random.below(400);
    std::jthread canceller([&] {
      for (std::uint64_t spin = 0; spin < spins; ++spin) shm::cpu_pause();
      stop.request_stop();
    });
    const std::string text = std::to_string(i);
    Result<Lease> lease = send(text, stop.get_token());
    const Result<ReplyView> reply = lease ? lease->wait() : Result<ReplyView>(lease.error());
    if (reply) {
      EXPECT_EQ(text_of(*reply), text);
      ++replied;
    } else {
      EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
      ++cancelled;
    }
  }
  EXPECT_TRUE(eventually([&] { return pool_.segment().busy_slots(0) == 0; }));
  RecordProperty("replied", replied);
  RecordProperty("cancelled", cancelled);
}

// Nobody answers: only the cancel can wake the caller, which may just be falling asleep.
TEST_F(Cancel, WakesACallerAtWhateverMomentItComes) {
  testing::RandomSource random;
  for (int i = 0; i < effort(4000); ++i) {
    std::stop_source stop;
    Lease lease = send("hello", stop.get_token()).value();
    const auto spins = random.below(400);
    std::jthread canceller([&] {
      while (spins % 2 == 0 && !pool_.word(0).has(layout::kFlagCallerSleeps)) {
      }
      for (std::uint64_t spin = 0; spin < spins; ++spin) shm::cpu_pause();
      stop.request_stop();
    });
    ASSERT_EQ(lease.wait().error().code, ErrorCode::kCancelled);
  }
}

}  // namespace
}  // namespace slotring
