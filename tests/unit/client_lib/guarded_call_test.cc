// A Client's calls with a circuit breaker and with retries, of a worker that fails as often as the
// test wants.

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "slotring/client.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"

namespace slotring {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::EchoWorker;
using testing::LocalPool;

// Echoes, but for its first calls, which it fails with an error.
class FailingWorker {
 public:
  FailingWorker(const LocalPool& pool, int failures, Error error)
      : error_(std::move(error)),
        failures_(failures),
        thread_(pool, [this](shm::WorkerSeat& seat, const shm::RunningCall& call) {
          answer(seat, call);
        }) {}
  int calls() const { return calls_.load(); }

 private:
  void answer(shm::WorkerSeat& seat, const shm::RunningCall& call) {
    if (calls_.fetch_add(1) < failures_) {
      seat.fail(call, error_);
    } else {
      EchoWorker::echo(seat, call);
    }
  }

  Error error_;
  int failures_;
  std::atomic<int> calls_{0};
  testing::SeatThread thread_;
};

class GuardedCall : public ::testing::Test {
 protected:
  GuardedCall() {
    pool_.intern("echo");
    pool_.publish_all();
  }
  Client attach(const AttachOptions& options = {}) {
    return Client::attach(supervisor_.path(), options).value();
  }
  static ErrorCode code_of(const Result<Reply>& reply) {
    return reply ? ErrorCode::kOk : reply.error().code;
  }

  LocalPool pool_;
  testing::LocalSupervisor supervisor_{pool_};
};

const Error kLost{.code = ErrorCode::kWorkerLost};
const Error kRaised{.code = ErrorCode::kHandlerRaised};
constexpr RetryOptions kAtOnce{.attempts = 3, .first_delay = {}};

TEST_F(GuardedCall, AnIdempotentCallIsSentAgainUntilItSucceeds) {
  FailingWorker worker(pool_, 2, kLost);
  Client client = attach();
  const auto reply = client.call("echo", "hi", {.idempotent = true, .retry = kAtOnce});
  ASSERT_TRUE(reply.ok()) << reply.error().to_string();
  EXPECT_EQ(reply->text(), "hi");
  EXPECT_EQ(worker.calls(), 3);
}

TEST_F(GuardedCall, ItEndsWithTheLastErrorAfterAllAttempts) {
  FailingWorker worker(pool_, 100, kLost);
  Client client = attach();
  EXPECT_EQ(code_of(client.call("echo", "hi", {.idempotent = true, .retry = kAtOnce})),
            ErrorCode::kWorkerLost);
  EXPECT_EQ(worker.calls(), 3);
}

TEST_F(GuardedCall, WhatIsNotMarkedIdempotentIsSentOnce) {
  FailingWorker worker(pool_, 100, kLost);
  Client client = attach();
  EXPECT_EQ(code_of(client.call("echo", "hi", {.retry = kAtOnce})), ErrorCode::kWorkerLost);
  EXPECT_EQ(code_of(client.call("echo", "hi", {.idempotent = true})), ErrorCode::kWorkerLost);
  EXPECT_EQ(worker.calls(), 2);
}

TEST_F(GuardedCall, WhatTheHandlerRaisedIsNotSentAgain) {
  FailingWorker worker(pool_, 100, kRaised);
  Client client = attach();
  EXPECT_EQ(code_of(client.call("echo", "hi", {.idempotent = true, .retry = kAtOnce})),
            ErrorCode::kHandlerRaised);
  EXPECT_EQ(worker.calls(), 1);
}

TEST_F(GuardedCall, AStopEndsTheWaitBetweenAttempts) {
  FailingWorker worker(pool_, 100, kLost);
  Client client = attach();
  std::stop_source stop;
  std::thread stopper([&] {
    while (worker.calls() == 0) std::this_thread::yield();
    stop.request_stop();
  });
  // Random delays of up to an hour; one that is over before the stop comes only makes one call
  // more.
  const auto reply = client.call(
      "echo", "hi",
      {.timeout = kNoTimeout,
       .stop = stop.get_token(),
       .idempotent = true,
       .retry = RetryOptions{.attempts = 1000, .first_delay = hours(1), .max_delay = hours(1)}});
  stopper.join();
  EXPECT_EQ(code_of(reply), ErrorCode::kCancelled);
}

TEST_F(GuardedCall, FailuresOpenTheBreakerAndNoMoreCallsReachTheWorker) {
  FailingWorker worker(pool_, 100, kRaised);
  Client client = attach({.breaker = BreakerOptions{.failures = 2, .cool_down = hours(1)}});
  EXPECT_EQ(client.breaker_state("echo").state, BreakerState::kClosed);
  EXPECT_EQ(code_of(client.call("echo", "hi")), ErrorCode::kHandlerRaised);
  EXPECT_EQ(code_of(client.call("echo", "hi")), ErrorCode::kHandlerRaised);
  EXPECT_EQ(client.breaker_state("echo").state, BreakerState::kOpen);
  const Result<Reply> refused = client.call("echo", "hi", {.idempotent = true, .retry = kAtOnce});
  EXPECT_EQ(code_of(refused), ErrorCode::kCircuitOpen);
  EXPECT_EQ(refused.error().message.find("the method 'echo' kept failing"), 0u)
      << refused.error().message;
  EXPECT_EQ(worker.calls(), 2);
}

TEST_F(GuardedCall, AProbeThatSucceedsClosesTheBreaker) {
  FailingWorker worker(pool_, 1, kRaised);
  Client client = attach({.breaker = BreakerOptions{.failures = 1, .cool_down = {}}});
  EXPECT_EQ(code_of(client.call("echo", "hi")), ErrorCode::kHandlerRaised);
  EXPECT_EQ(client.breaker_state("echo").state, BreakerState::kOpen);
  EXPECT_EQ(code_of(client.call("echo", "hi")), ErrorCode::kOk);
  EXPECT_EQ(client.breaker_state("echo").state, BreakerState::kClosed);
}

TEST_F(GuardedCall, WithoutABreakerNothingIsEverRefused) {
  FailingWorker worker(pool_, 50, kRaised);
  Client client = attach();
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(code_of(client.call("echo", "hi")), ErrorCode::kHandlerRaised);
  }
  EXPECT_EQ(code_of(client.call("echo", "hi")), ErrorCode::kOk);
}

}  // namespace
}  // namespace slotring
