#include "client_lib/session_router.h"

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using layout::SeatState;
using layout::SessionStoreKind;
using shm::SeatIndex;
using testing::LocalPool;
using testing::soon;

constexpr std::uint64_t kLongMs = 60'000;

layout::Geometry geometry(std::uint32_t workers, std::uint32_t max_sessions) {
  layout::Geometry g = testing::small_geometry(workers, /*slots=*/2);
  g.max_waiters = 64;
  g.max_sessions = max_sessions;
  return g;
}

// Claims need no worker: a lease that is held keeps its seat busy.
class SessionRouterTest : public ::testing::Test {
 protected:
  SessionRouterTest() { pool_.publish_all(); }

  void set_policy(SessionMode mode, SessionStoreKind store = SessionStoreKind::kMemory) {
    pool_.segment().header().sessions.mode = static_cast<layout::SessionMode>(mode);
    pool_.segment().header().sessions.store = store;
  }
  Result<Lease> try_claim(std::string_view name, SessionMode mode = SessionMode::kQueue,
                          std::uint64_t wait_ms = kLongMs) {
    return client_->claim({.started = shm::monotonic_now(),
                           .deadline = soon(wait_ms),
                           .session = name,
                           .session_mode = mode});
  }
  Lease claim(std::string_view name, SessionMode mode = SessionMode::kQueue) {
    return try_claim(name, mode).value();
  }
  ErrorCode error_of_claim(std::string_view name, SessionMode mode = SessionMode::kQueue,
                           std::uint64_t wait_ms = kLongMs) {
    const Result<Lease> lease = try_claim(name, mode, wait_ms);
    return lease ? ErrorCode::kOk : lease.error().code;
  }
  shm::FoundSession find(std::string_view name) { return table_.find(name).value().value(); }
  // Of a session that has one.
  SeatIndex home(std::string_view name) { return SeatIndex{find(name).word.home} - 1; }
  std::uint32_t busy(SeatIndex seat) { return pool_.segment().busy_slots(seat); }
  std::uint32_t busy_elsewhere(SeatIndex seat) {
    std::uint32_t sum = 0;
    for (SeatIndex s = 0; s < 3; ++s) sum += s == seat ? 0 : busy(s);
    return sum;
  }
  // Makes the session, at home at a seat, and says what its worker says that keeps state of it.
  SeatIndex make_with_state(std::string_view name, std::uint32_t generation = 1) {
    claim(name).release();
    shm::FoundSession found = find(name);
    table_.record(found.index).home_generation.store(generation);
    EXPECT_TRUE(table_.try_update(found.index, found.word, found.word.home,
                                  found.word.flags | layout::kFlagHasState));
    return home(name);
  }
  SeatIndex make(std::string_view name) {
    claim(name).release();
    return home(name);
  }
  // As the supervisor does with a worker that is idle for long, where the pool may shrink.
  void send_away(SeatIndex seat) {
    const layout::SeatWord draining{1, SeatState::kDraining, /*returns=*/true};
    pool_.segment().seat(seat).word.store(draining.pack());
  }
  bool somebody_wants(SeatIndex seat) {
    return (pool_.segment().seat(seat).wanted.load() & layout::kSeatWanted) != 0;
  }

  LocalPool pool_{geometry(/*workers=*/3, /*max_sessions=*/8)};
  shm::SessionTable table_{pool_.segment()};
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
};

TEST_F(SessionRouterTest, MakesASessionWithItsFirstClaimAndGivesItAHomeThere) {
  const Lease lease = claim("a");
  EXPECT_EQ(busy(home("a")), 1u);
  EXPECT_FALSE(find("a").word.has_state());
}

TEST_F(SessionRouterTest, NotesWhenASessionWasUsedLast) {
  make("a");
  const std::uint64_t first = table_.record(find("a").index).last_used_ns.load();
  make("a");
  EXPECT_GT(table_.record(find("a").index).last_used_ns.load(), first);
}

TEST_F(SessionRouterTest, ComesBackToTheHome) {
  const SeatIndex seat = make("a");
  for (int i = 0; i < 10; ++i) {
    (void)client_->claim(shm::kNever).value();  // other calls of this thread in between
    for (const SessionMode mode : {SessionMode::kHint, SessionMode::kQueue, SessionMode::kFail}) {
      const Lease lease = claim("a", mode);
      EXPECT_EQ(busy(seat), 1u);
    }
  }
  EXPECT_EQ(home("a"), seat);
}

TEST_F(SessionRouterTest, SpreadsTheSessionsOfOneThread) {
  std::set<SeatIndex> homes;
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) homes.insert(make(name));
  EXPECT_EQ(homes.size(), 3u);
}

TEST_F(SessionRouterTest, GoesElsewhereByHintWhenTheHomeIsBusy) {
  const Lease first = claim("a");
  const SeatIndex seat = home("a");
  const Lease second = claim("a", SessionMode::kHint);
  EXPECT_EQ(busy(seat), 1u);
  EXPECT_EQ(busy_elsewhere(seat), 1u);
  EXPECT_EQ(home("a"), seat) << "which stays";
}

TEST_F(SessionRouterTest, FailsWhenTheHomeIsBusy) {
  const Lease first = claim("a");
  const Result<Lease> second = try_claim("a", SessionMode::kFail);
  EXPECT_EQ(second.error().code, ErrorCode::kSessionBusy);
  EXPECT_TRUE(second.error().retryable);
  EXPECT_EQ(busy(home("a")), 1u);
}

TEST_F(SessionRouterTest, FailsWhileTheHomesWorkerIsBeingReplaced) {
  const SeatIndex seat = make("a");
  pool_.set_seat(seat, SeatState::kStarting, 2);
  EXPECT_EQ(error_of_claim("a", SessionMode::kFail), ErrorCode::kSessionBusy);
}

TEST_F(SessionRouterTest, QueuesBehindCallsOfTheHome) {
  const Lease first = claim("a");
  const Lease second = claim("a");
  EXPECT_EQ(busy(home("a")), 2u);
}

TEST_F(SessionRouterTest, WaitsForASlotOfTheHomeThoughOthersAreFree) {
  Lease first = claim("a"), second = claim("a");
  const SeatIndex seat = home("a");
  std::thread waiter([&] {
    const Lease third = claim("a");
    EXPECT_EQ(busy(seat), 2u);
  });
  EXPECT_TRUE(testing::eventually([&] { return somebody_wants(seat); }));
  EXPECT_EQ(busy_elsewhere(seat), 0u);
  first.release();
  waiter.join();
}

TEST_F(SessionRouterTest, GivesUpWaitingAtTheDeadline) {
  const Lease first = claim("a"), second = claim("a");
  EXPECT_EQ(error_of_claim("a", SessionMode::kQueue, 5), ErrorCode::kDeadlineExceeded);
}

TEST_F(SessionRouterTest, DoesAsThePoolSaysWhenTheCallDoesNot) {
  const Lease first = claim("a");
  set_policy(SessionMode::kFail);
  EXPECT_EQ(error_of_claim("a", SessionMode::kPoolDefault), ErrorCode::kSessionBusy);
  set_policy(SessionMode::kHint);
  const Lease elsewhere = claim("a", SessionMode::kPoolDefault);
  EXPECT_EQ(busy(home("a")), 1u);
  for (const int unknown : {0, 200}) {
    set_policy(static_cast<SessionMode>(unknown));
    const Lease queued = claim("a", SessionMode::kPoolDefault);
    EXPECT_EQ(busy(home("a")), 2u);
  }
}

TEST_F(SessionRouterTest, FindsAnotherHomeWhenItsOwnHasGoneForGood) {
  for (const SeatState gone : {SeatState::kRetired, SeatState::kDormant, SeatState::kVacant}) {
    for (const SessionMode mode : {SessionMode::kHint, SessionMode::kQueue, SessionMode::kFail}) {
      const SeatIndex seat = make("a");
      pool_.set_seat(seat, gone);
      const Lease lease = claim("a", mode);
      EXPECT_NE(home("a"), seat);
      EXPECT_EQ(busy(home("a")), 1u);
      pool_.publish(seat);
    }
  }
}

TEST_F(SessionRouterTest, FindsAnotherHomeWhenTheWorkerOfItsOwnIsSentAway) {
  const SeatIndex seat = make("a");
  send_away(seat);
  const Lease lease = claim("a");
  EXPECT_NE(home("a"), seat);
}

TEST_F(SessionRouterTest, WaitsWhereTheWorkerIsSentAwayThatHasItsState) {
  const SeatIndex seat = make_with_state("a");
  send_away(seat);
  EXPECT_EQ(error_of_claim("a", SessionMode::kHint, 5), ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(find("a").word.has_state());
  pool_.publish(seat, 2);
  EXPECT_EQ(error_of_claim("a"), ErrorCode::kSessionLost);
}

TEST_F(SessionRouterTest, FindsAnotherHomeWhenItsOwnGoesWhileItWaits) {
  const Lease first = claim("a"), second = claim("a");
  const SeatIndex seat = home("a");
  std::thread waiter([&] {
    const Lease third = claim("a");
    EXPECT_NE(home("a"), seat);
  });
  EXPECT_TRUE(testing::eventually([&] { return somebody_wants(seat); }));
  pool_.set_seat(seat, SeatState::kRetired);
  pool_.pool().wake_wanting(seat);
  waiter.join();
}

TEST_F(SessionRouterTest, WaitsForTheSuccessorOfItsHomesWorker) {
  const SeatIndex seat = make("a");
  pool_.set_seat(seat, SeatState::kLost);
  std::thread waiter([&] {
    const Lease lease = claim("a");
    EXPECT_EQ(busy(seat), 1u);
  });
  EXPECT_TRUE(testing::eventually([&] { return somebody_wants(seat); }));
  pool_.publish(seat, 2);
  waiter.join();
  EXPECT_EQ(home("a"), seat);
}

TEST_F(SessionRouterTest, WaitsForTheWorkerThatHasTheStateEvenByHint) {
  const SeatIndex seat = make_with_state("a");
  const Lease first = claim("a"), second = claim("a", SessionMode::kHint);
  EXPECT_EQ(busy(seat), 2u);
}

TEST_F(SessionRouterTest, GoesElsewhereByHintWhereEveryWorkerFindsTheState) {
  set_policy(SessionMode::kQueue, SessionStoreKind::kDurable);
  const SeatIndex seat = make_with_state("a");
  const Lease first = claim("a"), second = claim("a", SessionMode::kHint);
  EXPECT_EQ(busy(seat), 1u);
}

TEST_F(SessionRouterTest, TellsThatTheStateIsLostOnce) {
  make_with_state("a");
  pool_.publish(home("a"), 2);
  EXPECT_EQ(error_of_claim("a"), ErrorCode::kSessionLost);
  EXPECT_EQ(find("a").word.flags, layout::kLossStep);
  EXPECT_EQ(find("a").word.home, layout::kNoHome);
  EXPECT_EQ(error_of_claim("a"), ErrorCode::kOk);
}

TEST_F(SessionRouterTest, TellsThatTheStateIsLostInEveryModeAndHoweverTheWorkerWent) {
  for (const SessionMode mode : {SessionMode::kHint, SessionMode::kQueue, SessionMode::kFail}) {
    for (const SeatState now : {SeatState::kLost, SeatState::kRetired, SeatState::kDormant}) {
      const SeatIndex seat = make_with_state("a");
      pool_.set_seat(seat, now);
      EXPECT_EQ(error_of_claim("a", mode), ErrorCode::kSessionLost);
      EXPECT_EQ(error_of_claim("a", mode), ErrorCode::kOk);
      pool_.publish(seat);
    }
  }
}

TEST_F(SessionRouterTest, LosesNothingWhereEveryWorkerFindsTheState) {
  set_policy(SessionMode::kQueue, SessionStoreKind::kDurable);
  const SeatIndex seat = make_with_state("a");
  pool_.publish(seat, 2);
  EXPECT_EQ(error_of_claim("a"), ErrorCode::kOk);
}

TEST_F(SessionRouterTest, TellsOneOfManyCallersThatTheStateIsLost) {
  for (int round = 1; round <= testing::effort(100); ++round) {
    const auto generation = static_cast<std::uint32_t>(round);
    const SeatIndex seat = make_with_state("a", generation - 1);
    for (SeatIndex s = 0; s < 3; ++s) pool_.publish(s, generation);
    (void)seat;
    std::atomic<int> lost{0}, claimed{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&] {
        const Result<Lease> lease = try_claim("a");
        ++(lease ? claimed : lost);
        EXPECT_TRUE(lease || lease.error().code == ErrorCode::kSessionLost);
      });
    }
    for (std::thread& caller : callers) caller.join();
    ASSERT_EQ(lost.load(), 1);
    ASSERT_EQ(claimed.load(), 3);
  }
}

TEST_F(SessionRouterTest, TellsThatTheStateWasLostWhileItWaited) {
  const SeatIndex seat = make_with_state("a");
  Lease first = claim("a"), second = claim("a");
  std::thread waiter([&] { EXPECT_EQ(error_of_claim("a"), ErrorCode::kSessionLost); });
  EXPECT_TRUE(testing::eventually([&] { return somebody_wants(seat); }));
  pool_.set_seat(seat, SeatState::kReady, 2);
  first.release();
  waiter.join();
  EXPECT_EQ(busy(seat), 1u) << "the slot that it had for a moment is free";
}

TEST_F(SessionRouterTest, DoesNotTakeASessionForOneThatEndedWhileItWaited) {
  Lease first = claim("a"), second = claim("a");
  const shm::FoundSession ended = find("a");
  const SeatIndex seat = home("a");
  std::thread waiter([&] {
    const Lease lease = claim("a");
    EXPECT_NE(find("a").word.incarnation, ended.word.incarnation);
    EXPECT_EQ(busy(home("a")) + busy_elsewhere(home("a")), 2u);
  });
  EXPECT_TRUE(testing::eventually([&] { return somebody_wants(seat); }));
  EXPECT_TRUE(table_.try_end(ended.index, ended.word));
  first.release();
  waiter.join();
}

TEST_F(SessionRouterTest, RefusesNamesThatAreNone) {
  EXPECT_EQ(error_of_claim(std::string(64, 'x')), ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of_claim(std::string(63, 'x')), ErrorCode::kOk);
}

TEST_F(SessionRouterTest, RefusesMoreSessionsThanThePoolMayHave) {
  for (int i = 0; i < 8; ++i) make(std::to_string(i));
  EXPECT_EQ(error_of_claim("one more"), ErrorCode::kSessionLimit);
}

TEST_F(SessionRouterTest, RefusesSessionsWhereThePoolHasNone) {
  const LocalPool without(geometry(1, 0));
  without.publish_all();
  client_ = without.client();
  EXPECT_EQ(error_of_claim("a"), ErrorCode::kInvalidArgument);
}

TEST_F(SessionRouterTest, FindsAHomeForASessionWhoseRecordNamesNoSeat) {
  make("a");
  shm::FoundSession found = find("a");
  ASSERT_TRUE(table_.try_update(found.index, found.word, 999, 0));
  const Lease lease = claim("a");
  EXPECT_LT(home("a"), 3u);
}

TEST_F(SessionRouterTest, EndsAClaimThatWasCancelledBefore) {
  std::stop_source source;
  source.request_stop();
  const Result<Lease> lease =
      client_->claim({.session = "a", .session_mode = SessionMode::kQueue}, source.get_token());
  EXPECT_EQ(lease.error().code, ErrorCode::kCancelled);
}

// Many threads at a time.

TEST_F(SessionRouterTest, NeverLeavesACallThatMayNotWaitBehindAnother) {
  make("a");
  std::atomic<int> inside{0}, claims{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < testing::effort(2000); ++round) {
        Result<Lease> lease = try_claim("a", SessionMode::kFail);
        if (!lease) {
          ASSERT_EQ(lease.error().code, ErrorCode::kSessionBusy);
          continue;
        }
        ++claims;
        EXPECT_EQ(inside.fetch_add(1), 0);
        inside.fetch_sub(1);
        lease->release();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(claims.load(), 0);
}

TEST_F(SessionRouterTest, ServesManyThreadsOfOneSessionAtOneWorker) {
  const testing::EchoWorker first(pool_, 0), second(pool_, 1), third(pool_, 2);
  const SeatIndex seat = make("a");
  constexpr int kThreads = 4;
  const int rounds = testing::effort(500);
  std::vector<std::thread> callers;
  for (int i = 0; i < kThreads; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < rounds; ++round) {
        Lease lease = claim("a");
        ASSERT_TRUE(lease.request(0).ok());
        ASSERT_TRUE(lease.submit("echo", PayloadKind::kEmpty, 0).ok());
        ASSERT_TRUE(lease.wait().ok());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (SeatIndex s = 0; s < 3; ++s) {
    const auto expected = static_cast<std::uint64_t>(s == seat ? kThreads * rounds : 0);
    EXPECT_EQ(pool_.segment().seat(s).calls.load(), expected);
    EXPECT_EQ(busy(s), 0u);
  }
}

}  // namespace
}  // namespace slotring
