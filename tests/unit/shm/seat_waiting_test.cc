#include "client_lib/shm/seat_waiting.h"

#include <poll.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using testing::EchoWorker;
using testing::eventually;
using testing::LocalPool;
using testing::soon;
using testing::submit;
using testing::text_of;

class SeatWaitingTest : public ::testing::Test {
 protected:
  explicit SeatWaitingTest(std::uint32_t slots = 8) : pool_(testing::small_geometry(1, slots)) {
    pool_.publish_all();
    pool_.intern("echo");
    EXPECT_TRUE(seat_.share().ok());
  }
  ~SeatWaitingTest() override { stop_serving(); }

  // A thread that serves the seat under `lock_`, as threads of Python do under the GIL.
  void serve(const std::function<void(const RunningCall&)>& run) {
    while (!stop_.load()) {
      const std::uint32_t seen = seat_.shared()->interrupts();
      if (stop_.load()) return;
      std::optional<RunningCall> call;
      {
        const std::lock_guard lock(lock_);
        call = seat_.try_next();
      }
      if (call) {
        run(*call);
      } else {
        seat_.wait(kNever, seen);
      }
    }
  }
  void start(std::uint32_t threads, const std::function<void(const RunningCall&)>& run) {
    for (std::uint32_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this, run] { serve(run); });
    }
  }
  void echo(const RunningCall& call) {
    const std::lock_guard lock(lock_);
    EchoWorker::echo(seat_, call);
  }
  void stop_serving() {
    stop_.store(true);
    seat_.interrupt();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  // What a client does that has written to a lane.
  void tell_worker(SlotIndex slot) {
    AtomicWord& word = pool_.pool().word(slot);
    SlotWord seen = load_slot(word);
    while (seen.state == SlotState::kRunning && seen.has(layout::kFlagWorkerWaits)) {
      const auto flags = static_cast<SlotFlags>(seen.flags & ~layout::kFlagWorkerWaits);
      if (try_set_flags(word, seen, flags)) return pool_.pool().ring_worker(slot);
    }
  }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  WorkerSeat seat_ = pool_.worker();
  std::mutex lock_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

TEST_F(SeatWaitingTest, AsManyCallsRunAtOnceAsThereAreThreads) {
  std::atomic<int> running{0};
  start(4, [&](const RunningCall& call) {
    running.fetch_add(1);
    EXPECT_TRUE(eventually([&] { return running.load() == 4; }));
    echo(call);
  });
  std::vector<Lease> leases;
  for (int i = 0; i < 4; ++i) leases.push_back(submit(*client_, "x").value());
  for (Lease& lease : leases) EXPECT_TRUE(lease.wait().ok());
}

TEST_F(SeatWaitingTest, NoRequestIsLostWhoeverLeads) {
  start(3, [&](const RunningCall& call) { echo(call); });
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this] {
      for (int i = 0; i < 300; ++i) {
        Lease lease = submit(*client_, std::to_string(i), soon(20'000)).value();
        const Result<ReplyView> reply = lease.wait();
        ASSERT_TRUE(reply.ok()) << reply.error().to_string();
        ASSERT_EQ(text_of(*reply), std::to_string(i));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_F(SeatWaitingTest, WhoWaitsForItsCallerIsToldWhileOthersTakeRequests) {
  std::atomic<int> said{0}, heard{0};
  start(3, [&](const RunningCall& call) {
    if (call.payload.size() == 1) return echo(call);
    // A dialogue: each turn is waited for.
    for (int turn = 1; turn <= 200; ++turn) {
      const auto done = [&] { return said.load() >= turn; };
      EXPECT_EQ(seat_.await_caller(call, done, soon(20'000)), WorkerSeat::CallerWait::kDone);
      heard.store(turn);
    }
    echo(call);
  });
  Lease talker = submit(*client_, "talk").value();
  EXPECT_TRUE(eventually([&] { return pool_.state(0) == SlotState::kRunning; }));
  std::thread other([this] {
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(submit(*client_, "x").value().wait().ok());
  });
  for (int turn = 1; turn <= 200; ++turn) {
    said.store(turn);
    tell_worker(0);
    EXPECT_TRUE(eventually([&] { return heard.load() == turn; }));
  }
  other.join();
  EXPECT_TRUE(talker.wait().ok());
}

TEST_F(SeatWaitingTest, WhoWaitsForACallerThatHasGoneIsTold) {
  std::atomic<bool> gone{false};
  start(2, [&](const RunningCall& call) {
    const auto never = [] { return false; };
    gone.store(seat_.await_caller(call, never, kNever) == WorkerSeat::CallerWait::kGone);
    echo(call);
  });
  {
    const Lease lease = submit(*client_, "x").value();
    EXPECT_TRUE(eventually([&] { return pool_.word(0).has(layout::kFlagWorkerWaits); }));
  }
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
  EXPECT_TRUE(eventually([&] { return pool_.state(0) == SlotState::kFree; }));
}

TEST_F(SeatWaitingTest, AnInterruptEndsAllWaits) {
  std::atomic<int> ended{0};
  const std::uint32_t seen = seat_.shared()->interrupts();
  for (int i = 0; i < 3; ++i) {
    threads_.emplace_back([&] {
      seat_.wait(kNever, seen);
      ended.fetch_add(1);
    });
  }
  seat_.interrupt();
  EXPECT_TRUE(eventually([&] { return ended.load() == 3; }));
}

TEST_F(SeatWaitingTest, AWaitEndsAtItsDeadline) {
  EXPECT_FALSE(seat_.try_next().has_value());
  seat_.wait(soon(1), seat_.shared()->interrupts());
  EXPECT_FALSE(seat_.pending());
}

TEST_F(SeatWaitingTest, WhatIsNotWantedStaysRequestedUntilItIsReconsidered) {
  const Lease first = submit(*client_, "first").value(),
              second = submit(*client_, "second").value();
  const WorkerSeat::Wanted none = [](const RunningCall&) { return false; };
  EXPECT_FALSE(seat_.try_next(&none).has_value());
  EXPECT_EQ(pool_.state(0), SlotState::kRequested);
  EXPECT_FALSE(seat_.try_next().has_value());
  EXPECT_FALSE(seat_.pending());
  seat_.reconsider();
  EXPECT_TRUE(seat_.pending());
  EXPECT_EQ(seat_.try_next().value().slot, 0u) << "in the order of the refusals";
  EXPECT_EQ(seat_.try_next().value().slot, 1u);
}

TEST_F(SeatWaitingTest, AListenerTellsOfARingByItsDescriptorOnceUntilItIsHeard) {
  SeatWaiting& shared = *seat_.shared();
  threads_.emplace_back([&] { shared.listen(); });
  pollfd told{shared.event_fd(), POLLIN, 0};
  const Lease lease = submit(*client_, "x").value();
  ASSERT_EQ(::poll(&told, 1, 20'000), 1);
  shared.heard();
  EXPECT_EQ(::poll(&told, 1, 0), 0);
  EXPECT_TRUE(seat_.try_next().has_value());
  shared.end_listening();
}

class SlotsShareBitsTest : public SeatWaitingTest {
 protected:
  SlotsShareBitsTest() : SeatWaitingTest(40) {}
};

TEST_F(SlotsShareBitsTest, ARequestIsTakenWhereAnothersCallerIsWaitedFor) {
  std::atomic<bool> done{false};
  start(2, [&](const RunningCall& call) {
    if (call.payload.size() > 1) {
      EXPECT_EQ(seat_.await_caller(
                    call, [&] { return done.load(); }, soon(20'000)),
                WorkerSeat::CallerWait::kDone);
    }
    echo(call);
  });
  Lease talker = submit(*client_, "talk").value();
  std::vector<Lease> leases;
  for (int i = 0; i < 39; ++i) leases.push_back(submit(*client_, "x").value());
  for (Lease& lease : leases) EXPECT_TRUE(lease.wait().ok());
  done.store(true);
  for (SlotIndex slot = 0; slot < 40; ++slot) tell_worker(slot);
  EXPECT_TRUE(talker.wait().ok());
}

}  // namespace
}  // namespace slotring::shm
