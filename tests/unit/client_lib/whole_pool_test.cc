// Calls to every worker: who is asked, and what is said of those that cannot answer.

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "slotring/client.h"
#include "tests/support/local_supervisor.h"

namespace slotring {
namespace {

using layout::SeatState;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::EchoWorker;
using testing::LocalPool;

class WholePool : public ::testing::Test {
 protected:
  LocalPool pool_{testing::small_geometry(/*workers=*/3)};
  testing::LocalSupervisor supervisor_{pool_};
  Client client_ = Client::attach(supervisor_.path()).value();
};

TEST_F(WholePool, EveryReadyWorkerIsAskedForItsHealth) {
  pool_.publish_all();
  EchoWorker workers[] = {EchoWorker(pool_, 0), EchoWorker(pool_, 1), EchoWorker(pool_, 2)};
  const PoolHealth health = client_.check_health(seconds(30)).value();
  ASSERT_EQ(health.workers.size(), 3u);
  EXPECT_TRUE(health.ok());
  for (std::uint32_t seat = 0; seat < 3; ++seat) {
    EXPECT_EQ(health.workers[seat].seat, seat);
    EXPECT_EQ(health.workers[seat].generation, 1u);
    EXPECT_GT(health.workers[seat].latency.count(), 0);
  }
}

TEST_F(WholePool, OneThatHangsIsReportedAndDelaysNobodyElse) {
  pool_.publish_all();
  EchoWorker worker0(pool_, 0);
  EchoWorker worker2(pool_, 2);
  const PoolHealth health = client_.check_health(milliseconds(300)).value();
  ASSERT_EQ(health.workers.size(), 3u);
  EXPECT_FALSE(health.ok());
  EXPECT_FALSE(health.workers[0].error.has_value());
  ASSERT_TRUE(health.workers[1].error.has_value());
  EXPECT_EQ(health.workers[1].error->code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(health.workers[2].error.has_value());
}

TEST_F(WholePool, DeadWorkersAreUnhealthyAndThoseThatAreNotWantedAreNot) {
  pool_.publish(0);
  EchoWorker worker(pool_, 0);
  pool_.set_seat(1, SeatState::kLost, 4);
  pool_.set_seat(2, SeatState::kDormant);
  const PoolHealth health = client_.check_health().value();
  ASSERT_EQ(health.workers.size(), 2u);
  EXPECT_FALSE(health.ok());
  EXPECT_EQ(health.workers[1].error->code, ErrorCode::kWorkerUnavailable);
  EXPECT_EQ(health.workers[1].generation, 4u);
  pool_.set_seat(1, SeatState::kStarting, 5);
  EXPECT_TRUE(client_.check_health().value().ok());
}

TEST_F(WholePool, APoolWithoutAWorkerIsNotHealthy) {
  EXPECT_FALSE(client_.check_health().value().ok());
}

TEST_F(WholePool, WhatCannotBeKeptIsRefusedBeforeAnybodyIsAsked) {
  const std::string large(kMaxBroadcastBytes + 1, 'x');
  EXPECT_EQ(client_.broadcast("configure", large).error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(client_.broadcast("", "x").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(client_.broadcast("configure", "x", {.key = std::string(64, 'k')}).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace slotring
