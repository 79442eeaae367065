#include "client_lib/circuit_breaker.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace slotring::internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Ticket = CircuitBreaker::Ticket;
using Verdict = CircuitBreaker::Verdict;

constexpr std::uint16_t kMethod = 7;
constexpr std::uint64_t kSecond = 1'000'000'000;

class CircuitBreakerTest : public ::testing::Test {
 protected:
  // One call that is admitted and ends so.
  void call(Verdict verdict, std::uint16_t method = kMethod) {
    const Result<Ticket> ticket = breaker_.admit(method, "embed", now_);
    ASSERT_TRUE(ticket.ok());
    breaker_.report(method, *ticket, verdict, now_);
  }
  void open() {
    for (int i = 0; i < 3; ++i) call(Verdict::kFailure);
  }
  BreakerState state(std::uint16_t method = kMethod) const {
    return breaker_.status(method, now_).state;
  }

  shm::MonotonicNs now_ = 1000 * kSecond;
  CircuitBreaker breaker_{{.failures = 3, .cool_down = seconds(10)}, now_};
};

TEST_F(CircuitBreakerTest, FailuresInARowOpenItAndASuccessInBetweenDoesNot) {
  call(Verdict::kFailure);
  call(Verdict::kFailure);
  EXPECT_EQ(breaker_.status(kMethod, now_).failures, 2u);
  call(Verdict::kSuccess);
  call(Verdict::kFailure);
  call(Verdict::kNeither);
  call(Verdict::kFailure);
  EXPECT_EQ(state(), BreakerState::kClosed);
  call(Verdict::kFailure);
  EXPECT_EQ(state(), BreakerState::kOpen);
}

TEST_F(CircuitBreakerTest, OpenItRefusesAtOnceAndSaysForHowLong) {
  open();
  now_ += 4 * kSecond;
  const Error refused = breaker_.admit(kMethod, "embed", now_).error();
  EXPECT_EQ(refused.code, ErrorCode::kCircuitOpen);
  EXPECT_TRUE(refused.retryable);
  EXPECT_EQ(
      refused.message,
      "the method 'embed' kept failing, and is not called now; the next attempt is in 6000 ms");
  EXPECT_EQ(breaker_.status(kMethod, now_).probe_in, seconds(6));
  EXPECT_TRUE(breaker_.admit(kMethod + 1, "embed", now_).ok()) << "another method has its own";
}

TEST_F(CircuitBreakerTest, AfterTheCoolDownOneCallProbesAndItsSuccessCloses) {
  open();
  now_ += 10 * kSecond;
  const Result<Ticket> probe = breaker_.admit(kMethod, "embed", now_);
  ASSERT_TRUE(probe.ok());
  EXPECT_EQ(*probe, Ticket::kProbe);
  EXPECT_EQ(state(), BreakerState::kProbing);
  EXPECT_EQ(breaker_.admit(kMethod, "embed", now_).error().code, ErrorCode::kCircuitOpen);
  breaker_.report(kMethod, *probe, Verdict::kSuccess, now_);
  EXPECT_EQ(state(), BreakerState::kClosed);
  EXPECT_EQ(breaker_.status(kMethod, now_).failures, 0u);
}

TEST_F(CircuitBreakerTest, AFailedProbeStartsTheCoolDownAnew) {
  open();
  now_ += 11 * kSecond;
  call(Verdict::kFailure);
  EXPECT_EQ(state(), BreakerState::kOpen);
  now_ += 9 * kSecond;
  EXPECT_FALSE(breaker_.admit(kMethod, "embed", now_).ok());
  now_ += kSecond;
  EXPECT_TRUE(breaker_.admit(kMethod, "embed", now_).ok());
}

TEST_F(CircuitBreakerTest, AProbeThatTellsNothingLeavesTheNextCallToProbe) {
  open();
  now_ += 10 * kSecond;
  call(Verdict::kNeither);
  EXPECT_EQ(state(), BreakerState::kOpen);
  EXPECT_EQ(breaker_.admit(kMethod, "embed", now_).value(), Ticket::kProbe);
}

TEST_F(CircuitBreakerTest, ACallFromBeforeItOpenedChangesNothing) {
  const Ticket early = breaker_.admit(kMethod, "embed", now_).value();
  open();
  breaker_.report(kMethod, early, Verdict::kSuccess, now_);
  EXPECT_EQ(state(), BreakerState::kOpen);
  now_ += 10 * kSecond;
  ASSERT_TRUE(breaker_.admit(kMethod, "embed", now_).ok());
  breaker_.report(kMethod, early, Verdict::kFailure, now_);
  EXPECT_EQ(state(), BreakerState::kProbing);
}

TEST_F(CircuitBreakerTest, NamesThatNoWorkerHasAnnouncedAreNeverRefused) {
  for (int i = 0; i < 10; ++i) call(Verdict::kFailure, 0);
  EXPECT_TRUE(breaker_.admit(0, "embed", now_).ok());
  EXPECT_TRUE(breaker_.admit(0xFFFF, "embed", now_).ok());
}

TEST_F(CircuitBreakerTest, OfManyThreadsOneProbes) {
  open();
  now_ += 10 * kSecond;
  std::atomic<int> probes{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int n = 0; n < 1000; ++n) {
        const Result<Ticket> ticket = breaker_.admit(kMethod, "embed", now_);
        if (ticket && *ticket == Ticket::kProbe) ++probes;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(probes.load(), 1);
}

TEST(CircuitBreakerVerdict, CountsWhatSpeaksAgainstTheMethodAndNothingElse) {
  const auto verdict = [](ErrorCode code) {
    return CircuitBreaker::verdict_of(Error{.code = code});
  };
  for (const ErrorCode code :
       {ErrorCode::kHandlerRaised, ErrorCode::kProgramFailed, ErrorCode::kWorkerLost,
        ErrorCode::kDeadlineExceeded, ErrorCode::kInternal}) {
    EXPECT_EQ(verdict(code), Verdict::kFailure) << to_string(code);
  }
  for (const ErrorCode code :
       {ErrorCode::kCancelled, ErrorCode::kInvalidArgument, ErrorCode::kPoolSaturated,
        ErrorCode::kMethodNotFound, ErrorCode::kSessionBusy, ErrorCode::kDependencyMissing}) {
    EXPECT_EQ(verdict(code), Verdict::kNeither) << to_string(code);
  }
}

}  // namespace
}  // namespace slotring::internal
