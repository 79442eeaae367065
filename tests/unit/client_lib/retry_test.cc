#include "client_lib/retry.h"

#include <stop_token>

#include <gtest/gtest.h>

#include "slotring/lease.h"

namespace slotring::internal {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

const Error kLost{.code = ErrorCode::kWorkerLost};

std::uint64_t longest(std::uint64_t most) { return most; }

TEST(RetrySchedule, DelaysDoubleUpToTheLongestAndAttemptsAreCounted) {
  RetrySchedule schedule(
      {.attempts = 6, .first_delay = milliseconds(10), .max_delay = milliseconds(35)}, longest);
  for (const int expected : {10, 20, 35, 35, 35}) {
    EXPECT_EQ(schedule.next(kLost, kNoTimeout), milliseconds(expected));
  }
  EXPECT_EQ(schedule.next(kLost, kNoTimeout), std::nullopt) << "that was the sixth attempt";
}

TEST(RetrySchedule, TheDelayIsAnythingFromNothingToItsBound) {
  std::uint64_t bound = 0;
  RetrySchedule schedule({.attempts = 3, .first_delay = milliseconds(10)}, [&](std::uint64_t most) {
    bound = most;
    return std::uint64_t{3};
  });
  EXPECT_EQ(schedule.next(kLost, kNoTimeout), nanoseconds(3));
  EXPECT_EQ(bound, 10'000'000u);
  for (int i = 0; i < 1000; ++i) EXPECT_LE(random_up_to(5), 5u);
}

TEST(RetrySchedule, NoDelayGoesBeyondTheDeadline) {
  RetrySchedule schedule({.attempts = 3, .first_delay = milliseconds(10)}, longest);
  EXPECT_EQ(schedule.next(kLost, milliseconds(10)), std::nullopt);
}

TEST(RetrySchedule, HugeOptionsDoNotOverflow) {
  RetrySchedule schedule(
      {.attempts = 200, .first_delay = hours(1), .max_delay = nanoseconds::max()}, longest);
  nanoseconds before{0};
  for (int i = 0; i < 199; ++i) {
    const nanoseconds delay = schedule.next(kLost, kNoTimeout).value_or(nanoseconds::max());
    EXPECT_GE(delay, before);
    before = delay;
  }
}

TEST(RetrySchedule, OneAttemptIsNoRetry) {
  RetrySchedule schedule({.attempts = 1}, longest);
  EXPECT_EQ(schedule.next(kLost, kNoTimeout), std::nullopt);
}

TEST(RetrySchedule, SentAgainIsWhatMayGoBetterThen) {
  const auto worth_it = [](ErrorCode code, bool retryable = false) {
    return RetrySchedule::is_worth_it(Error{.code = code, .retryable = retryable});
  };
  EXPECT_TRUE(worth_it(ErrorCode::kWorkerLost));
  EXPECT_TRUE(worth_it(ErrorCode::kPoolSaturated));
  EXPECT_TRUE(worth_it(ErrorCode::kHandlerRaised, true));
  EXPECT_TRUE(worth_it(ErrorCode::kSessionBusy, true));
  EXPECT_FALSE(worth_it(ErrorCode::kHandlerRaised));
  EXPECT_FALSE(worth_it(ErrorCode::kDeadlineExceeded));
  EXPECT_FALSE(worth_it(ErrorCode::kCircuitOpen, true));
}

TEST(RetrySleep, AStopEndsIt) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(sleep_unless_stopped(hours(1), stop.get_token()));
  EXPECT_TRUE(sleep_unless_stopped(nanoseconds(1), {}));
}

}  // namespace
}  // namespace slotring::internal
