// Two processes do what may race. One is stopped at each of its accesses to the control segment,
// one after the other, while the other does all of its part or goes to sleep. No audit helps:
// whoever waits must be woken by what the two do themselves.

#include <atomic>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/local_pool.h"
#include "tests/support/mortal_process.h"

namespace slotring {
namespace {

using layout::SeatState;
using shm::kNever;
using shm::SlotState;
using testing::EchoWorker;
using testing::eventually;
using testing::FatalAccess;
using testing::LocalPool;
using testing::PausedProcess;
using testing::submit;
using testing::text_of;

constexpr std::uint16_t kOther = 2;
constexpr shm::SlotWord kClaimed{3, kOther, SlotState::kClaimed, 0};

// One slot, one worker: what the two do, they do to the same words.
struct Bench {
  Bench() { pool.publish_all(); }
  ~Bench() {
    if (other.joinable()) other.join();
  }

  const shm::SlotPool& slots() const { return pool.pool(); }
  shm::SlotWord word() const { return pool.word(0); }

  LocalPool pool{testing::small_geometry(1, 1)};
  std::unique_ptr<internal::ClientCore> client = pool.client();
  shm::WorkerSeat seat = pool.worker();
  std::optional<Lease> lease;
  std::optional<shm::RunningCall> call;
  std::thread other;
};

// A client of the child's own, that has learned to sleep at once.
struct Caller {
  explicit Caller(const LocalPool& pool) : client(pool.client(1)) {
    for (int i = 0; i < 4; ++i) (void)submit(*client, "late", 1)->wait().ok();
  }
  bool gets_reply() { return text_of(lease->wait().value()) == "hello"; }

  std::unique_ptr<internal::ClientCore> client;
  std::optional<Lease> lease;
};

class PauseAtEveryAccess : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::kDeathsAtAccesses) GTEST_SKIP() << "needs x86-64";
  }

  // For each access of paused(), which runs in a child and works on what make() made there: stops
  // it, does meanwhile() here, and lets it go on. All is new each time, made by `prepare`.
  template <class Prepare, class Make, class Paused, class Meanwhile, class Check>
  static void race(Prepare prepare, Make make, Paused paused, Meanwhile meanwhile, Check check) {
    // Where a futex would put it to sleep it goes round instead: a few rounds of that are enough.
    constexpr int kEnough = 100;
    bool more = true;
    for (int access = 0; more && access < kEnough; ++access) {
      Bench bench;
      prepare(bench);
      PausedProcess child(
          bench.pool.segment(), access, [&] { return make(bench); }, paused);
      more = child.paused();
      meanwhile(bench);
      ASSERT_TRUE(child.ends_well()) << "stopped at access " << access;
      if (bench.other.joinable()) bench.other.join();
      ASSERT_TRUE(check(bench)) << "stopped at access " << access << ", then "
                                << to_string(bench.word().state);
    }
  }
  static bool is_free(const Bench& bench) { return bench.word().state == SlotState::kFree; }
  static bool is_claimed(const Bench& bench) { return bench.word().state == SlotState::kClaimed; }
  static bool anything(const Bench&) { return true; }
};

void nothing(Bench&) {}
std::unique_ptr<Caller> make_caller_that_called(Bench& bench) {
  auto caller = std::make_unique<Caller>(bench.pool);
  caller->lease = submit(*caller->client, "hello").value();
  return caller;
}
std::unique_ptr<Caller> make_caller_with_a_slot(Bench& bench) {
  auto caller = std::make_unique<Caller>(bench.pool);
  caller->lease = caller->client->claim(kNever).value();
  return caller;
}

TEST_F(PauseAtEveryAccess, OfAClaimWhileTheSlotIsReleased) {
  race([](Bench& b) { b.pool.set_word(0, kClaimed); }, [](Bench& b) { return b.slots(); },
       [](const shm::SlotPool& slots) { return slots.claim(1, shm::kNoSlot, kNever).ok(); },
       [](Bench& b) { EXPECT_TRUE(b.slots().try_release(0, kClaimed, shm::Actor::kClient)); },
       is_claimed);
}

TEST_F(PauseAtEveryAccess, OfAReleaseWhileACallerComesToWait) {
  race([](Bench& b) { b.pool.set_word(0, kClaimed); }, [](Bench& b) { return b.slots(); },
       [](const shm::SlotPool& slots) {
         return slots.try_release(0, kClaimed, shm::Actor::kClient);
       },
       [](Bench& b) {
         b.other = std::thread([&] { EXPECT_TRUE(b.slots().claim(1, shm::kNoSlot, kNever).ok()); });
         EXPECT_TRUE(eventually([&] {
           return b.word().owner == 1 || b.pool.segment().header().audit_bell.load() == 1;
         }));
       },
       is_claimed);
}

TEST_F(PauseAtEveryAccess, OfTheAuditWhileACallerComesToWait) {
  race(
      nothing, [](Bench& b) { return b.slots(); },
      [](const shm::SlotPool& slots) {
        testing::await_sleepers(slots.line(), std::atomic<bool>{false});
        return true;
      },
      [](Bench& b) {
        const auto waiter = b.slots().line().try_register(kOther);
        EXPECT_FALSE(b.slots().line().sleep(waiter.value(), 1));
      },
      anything);
}

TEST_F(PauseAtEveryAccess, OfACallersWaitWhileItsReplyComes) {
  race(
      nothing, make_caller_that_called, [](auto& caller) { return caller->gets_reply(); },
      [](Bench& b) { EchoWorker::echo(b.seat, b.seat.try_next().value()); }, anything);
}

TEST_F(PauseAtEveryAccess, OfAReplyWhileItsCallerGoesToSleep) {
  race([](Bench& b) { b.lease = submit(*b.client, "hello").value(); }, [](Bench& b) { return &b; },
       [](Bench* b) {
         EchoWorker::echo(b->seat, b->seat.try_next().value());
         return true;
       },
       [](Bench& b) {
         b.other = std::thread([&] { EXPECT_EQ(text_of(b.lease->wait().value()), "hello"); });
         EXPECT_TRUE(eventually([&] {
           return b.word().has(layout::kFlagCallerSleeps) || b.word().state == SlotState::kReplied;
         }));
       },
       anything);
}

TEST_F(PauseAtEveryAccess, OfAWorkersWaitWhileARequestComes) {
  race(
      nothing,
      [](Bench& b) {
        (void)b.seat.try_next().has_value();
        for (int i = 0; i < 4; ++i) b.seat.wait(1);  // learns to sleep at once
        return &b;
      },
      [](Bench* b) {
        while (!b->seat.try_next()) b->seat.wait(kNever);
        return true;
      },
      [](Bench& b) { b.lease = submit(*b.client, "hello").value(); },
      [](const Bench& b) { return b.word().state == SlotState::kRunning; });
}

TEST_F(PauseAtEveryAccess, OfASubmitWhileItsWorkerGoesToSleep) {
  race(
      nothing, make_caller_with_a_slot,
      [](auto& caller) {
        return caller->lease->submit("echo", PayloadKind::kEmpty, 0).ok() &&
               caller->lease->wait().ok();
      },
      [](Bench& b) {
        b.other = std::thread([&] {
          while (!(b.call = b.seat.try_next())) b.seat.wait(kNever);
          EchoWorker::echo(b.seat, *b.call);
        });
        EXPECT_TRUE(eventually([&] {
          const bool asleep = b.pool.segment().seat(0).bell.load() >> 31 != 0;
          return asleep || (!is_claimed(b) && b.word().state != SlotState::kRequested);
        }));
      },
      is_free);
}

TEST_F(PauseAtEveryAccess, OfASubmitWhileItsSeatRetires) {
  race(
      nothing, make_caller_with_a_slot,
      [](auto& caller) {
        const Status sent = caller->lease->submit("echo", PayloadKind::kEmpty, 0);
        if (!sent) return sent.error().code == ErrorCode::kWorkerUnavailable;
        const Result<ReplyView> reply = caller->lease->wait();
        return reply.error().code == ErrorCode::kWorkerLost && reply.error().retryable;
      },
      [](Bench& b) {
        b.pool.set_seat(0, SeatState::kRetired);
        shm::write_obituary(b.pool.segment(), 0, 1, 4242, 0, "");
        shm::reclaim_worker(b.slots(), 0, 1, /*retired=*/true);
      },
      is_free);
}

TEST_F(PauseAtEveryAccess, OfACancelWhileTheWorkerAnswers) {
  race(
      nothing, make_caller_that_called,
      [](auto& caller) {
        caller->lease->release();
        return true;
      },
      [](Bench& b) {
        if (const auto call = b.seat.try_next()) EchoWorker::echo(b.seat, *call);
      },
      is_free);
}

TEST_F(PauseAtEveryAccess, OfAnAnswerWhileTheCallerCancels) {
  race([](Bench& b) { b.lease = submit(*b.client, "hello").value(); }, [](Bench& b) { return &b; },
       [](Bench* b) {
         if (const auto call = b->seat.try_next()) EchoWorker::echo(b->seat, *call);
         return true;
       },
       [](Bench& b) { b.lease->release(); }, is_free);
}

// A cancel comes from the caller's own process, which therefore is not stopped: the stop is
// requested right before the access.

TEST_F(PauseAtEveryAccess, OfACallersWaitToCancelIt) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "its runtime would be entered where it is stopped";
  for (int access = 0; access < 40; ++access) {
    Bench bench;
    testing::ChildProcess child([&] {
      Caller caller(bench.pool);
      std::stop_source stop;
      caller.lease = caller.client->claim(kNever, stop.get_token()).value();
      caller.lease->request(0).value();
      caller.lease->submit("echo", PayloadKind::kEmpty, 0).value();
      FatalAccess::arm(bench.pool.segment(), access, [&] { stop.request_stop(); });
      return caller.lease->wait().error().code == ErrorCode::kCancelled;
    });
    ASSERT_TRUE(child.succeeded()) << "cancelled at access " << access;
    ASSERT_TRUE(is_free(bench)) << "cancelled at access " << access;
  }
}

TEST_F(PauseAtEveryAccess, OfAClaimInLineToCancelIt) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "its runtime would be entered where it is stopped";
  for (int access = 0; access < 60; ++access) {
    Bench bench;
    bench.pool.set_word(0, kClaimed);
    testing::ChildProcess child([&] {
      std::stop_source stop;
      FatalAccess::arm(bench.pool.segment(), access, [&] { stop.request_stop(); });
      const auto claim = bench.slots().claim(1, shm::kNoSlot, kNever, stop.get_token());
      return claim.error().code == ErrorCode::kCancelled;
    });
    ASSERT_TRUE(child.succeeded()) << "cancelled at access " << access;
    EXPECT_EQ(bench.slots().line().count_waiting(), 0u);
  }
}

TEST_F(PauseAtEveryAccess, OfAReclaimOfADeadClientWhileItsWorkerAnswers) {
  race(
      [](Bench& b) {
        b.lease = submit(*b.client, "hello").value();
        b.call = b.seat.try_next();
      },
      [](Bench& b) { return b.slots(); },
      [](const shm::SlotPool& slots) { return shm::reclaim_client(slots, 0) <= 1; },
      [](Bench& b) { EchoWorker::echo(b.seat, *b.call); }, is_free);
}

}  // namespace
}  // namespace slotring
