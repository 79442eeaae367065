// A control segment that somebody has scribbled over, repaired from what the supervisor knows:
// whole again, and without harm to what living peers hold.

#include "client_lib/shm/repair.h"

#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/reclaim.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/mortal_process.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using layout::SeatState;
using layout::SlotState;
using layout::SlotWord;
using layout::WaiterState;
using layout::WaiterWord;
using shm::SlotIndex;
using testing::EchoWorker;
using testing::LocalPool;
using testing::RandomSource;
using testing::submit;
using testing::text_of;

constexpr std::uint32_t kSlots = 4;
constexpr std::uint16_t kGone = 5;  // a client that is not attached
constexpr auto kImpossible = static_cast<SlotState>(77);

class RepairTest : public ::testing::Test {
 protected:
  RepairTest() {
    pool_.publish_all();
    pool_.intern("echo");
    pool_.intern("ping");
    for (std::uint32_t i = 0; i < 2; ++i) {
      auto& record = pool_.segment().client(i);
      shm::store_name(record.name, "tester");
      record.state.store(static_cast<std::uint32_t>(layout::ClientState::kAttached));
    }
    truth_.header = shm::copy_header(pool_.segment());
    truth_.supervisor_epoch = pool_.segment().header().supervisor_epoch.load();
    truth_.supervisor_pid = pool_.segment().header().supervisor_pid.load();
    truth_.methods = {"echo", "ping"};
    truth_.seats = {{{1, SeatState::kReady}, 0, 0}};
    truth_.clients = {{true, 0, 0, 0, "tester"}, {true, 0, 0, 0, "tester"}};
  }

  shm::Repairs repair() const { return shm::repair(pool_.pool(), truth_); }
  shm::Repairs repair_after_death_of_worker(SeatState state) {
    truth_.seats[0].word.state = state;
    return repair();
  }
  void set_waiter(std::uint32_t index, const WaiterWord& word) const {
    pool_.segment().waiter_word(index).store(word.pack());
  }
  WaiterState waiter(std::uint32_t index) const {
    return WaiterWord::unpack(pool_.segment().waiter_word(index).load()).state;
  }
  std::uint32_t claimable() const {
    std::uint32_t claims = 0;
    while (pool_.pool().try_claim(1)) ++claims;
    return claims;
  }
  void scribble(RandomSource& random, int words) const {
    auto* memory = reinterpret_cast<std::atomic<std::uint64_t>*>(&pool_.segment().header());
    const std::uint64_t count = layout::ControlOffsets(pool_.segment().geometry()).total / 8;
    for (int i = 0; i < words; ++i) {
      const std::uint64_t value = random.one_in(3) ? 0 : random.word();
      memory[random.below(count)].store(value);
    }
  }
  // The seat's worker, its calls over, looks around among its words.
  void let_worker_look() const {
    auto worker = pool_.worker();
    for (int i = 0; i < 1024; ++i) {
      if (auto call = worker.try_next()) worker.fail(*call, {ErrorCode::kBadFrame, ""});
    }
  }
  void expect_right_calls() const {
    const EchoWorker worker(pool_);
    const auto client = pool_.client(0);
    for (int i = 0; i < 20; ++i) {
      Result<Lease> lease = submit(*client, "hello " + std::to_string(i));
      ASSERT_TRUE(lease.ok()) << lease.error().to_string();
      Result<ReplyView> reply = lease->wait();
      ASSERT_TRUE(reply.ok()) << reply.error().to_string();
      EXPECT_EQ(text_of(*reply), "hello " + std::to_string(i));
    }
  }

  LocalPool pool_{testing::small_geometry(1, kSlots)};
  shm::PoolTruth truth_;
};

TEST_F(RepairTest, FindsNothingInASoundPoolAndLeavesIt) {
  const auto client = pool_.client(0);
  const Lease claimed = client->claim(shm::kNever).value();
  Lease requested = submit(*client, "hello").value();
  EXPECT_EQ(repair().total(), 0u);
  EXPECT_EQ(repair().to_string(), "nothing");
  EXPECT_EQ(claimable(), kSlots - 2);
}

TEST_F(RepairTest, WritesHeaderMethodsSeatsAndClientsAgain) {
  layout::ControlHeader& header = pool_.segment().header();
  header.magic.store(0);
  header.method_count.store(~0u);
  header.supervisor_pid.store(-1);
  pool_.segment().method(2).bytes = 255;
  pool_.segment().seat(0).word.store(~std::uint64_t{0});
  pool_.segment().seat(0).profile.store(~0u);
  pool_.segment().client(0).epoch.store(99);
  pool_.segment().client(3).state.store(1);
  const shm::Repairs mended = repair();
  EXPECT_EQ(mended.to_string(), "3 header words, 1 method name, 1 seat, 2 clients");
  EXPECT_EQ(header.magic.load(), layout::kMagic);
  EXPECT_EQ(header.method_count.load(), 2u);
  EXPECT_EQ(shm::load_name(pool_.segment().method(2)), "ping");
  EXPECT_EQ(pool_.segment().seat_word(0).state, SeatState::kReady);
  EXPECT_EQ(pool_.segment().seat(0).profile.load(), 0u);
  EXPECT_EQ(repair().total(), 0u);
}

TEST_F(RepairTest, FreesWhatNobodyCanHold) {
  pool_.set_word(0, {7, kGone, SlotState::kClaimed, 0});
  pool_.set_word(1, {7, kGone, SlotState::kRequested, 0});
  pool_.set_word(2, {7, 0xFFFE, SlotState::kReplied, 0xFF});
  pool_.set_word(3, {7, 0, SlotState::kFree, 0});
  EXPECT_EQ(repair().slots, 4u);
  for (SlotIndex slot = 0; slot < kSlots; ++slot) {
    EXPECT_EQ(pool_.word(slot).generation, 8u);
    EXPECT_EQ(pool_.word(slot).owner, layout::kNoOwner);
  }
  EXPECT_EQ(claimable(), kSlots);
}

TEST_F(RepairTest, NeverTouchesAWordThatNamesALivingOwner) {
  for (const SlotState state : {SlotState::kClaimed, SlotState::kRequested, SlotState::kRunning,
                                SlotState::kReplied, SlotState::kAbandoned}) {
    const SlotWord word{7, 1, state, layout::kFlagCallerSleeps};
    pool_.set_word(0, word);
    repair();
    EXPECT_TRUE(pool_.word(0).same_step(word)) << to_string(state);
  }
}

TEST_F(RepairTest, LeavesWhatTheWorkerMayRunToTheWorker) {
  pool_.set_word(0, {7, kGone, SlotState::kRunning, 0});
  pool_.set_word(1, {7, kGone, kImpossible, 0});
  pool_.set_word(2, {7, kGone, SlotState::kAbandoned, 0});
  repair();
  for (SlotIndex slot = 0; slot < 3; ++slot) EXPECT_EQ(pool_.state(slot), SlotState::kAbandoned);
  let_worker_look();
  EXPECT_EQ(claimable(), kSlots);
}

TEST_F(RepairTest, FreesWhatNoWorkerCanRun) {
  pool_.set_word(0, {7, kGone, SlotState::kRunning, 0});
  pool_.set_word(1, {7, kGone, kImpossible, 0});
  pool_.set_word(2, {7, 0, SlotState::kAbandoned, 0});
  repair_after_death_of_worker(SeatState::kLost);
  for (SlotIndex slot = 0; slot < 3; ++slot) EXPECT_EQ(pool_.state(slot), SlotState::kFree);
}

TEST_F(RepairTest, EndsACallThatADeadWorkerSeemsToRun) {
  const SlotWord running{7, 1, SlotState::kRunning, 0};
  pool_.set_word(0, running);
  repair_after_death_of_worker(SeatState::kLost);
  EXPECT_EQ(pool_.state(0), SlotState::kReplied);
  EXPECT_TRUE(pool_.word(0).has(layout::kFlagLost));
}

TEST_F(RepairTest, LeavesACallThatWaitsAtADormantSeatToItsNextWorker) {
  const SlotWord requested{7, 1, SlotState::kRequested, 0};
  pool_.set_word(0, requested);
  pool_.set_word(1, {7, 1, SlotState::kRunning, 0});
  repair_after_death_of_worker(SeatState::kDormant);
  EXPECT_TRUE(pool_.word(0).same_step(requested));
  EXPECT_TRUE(pool_.word(1).has(layout::kFlagLost)) << "nobody can run it there";
}

TEST_F(RepairTest, VacatesPlacesInLineThatNobodyCanHold) {
  set_waiter(0, {1, kGone, WaiterState::kWaiting, 0});
  set_waiter(1, {1, 0, static_cast<WaiterState>(9), 0});
  set_waiter(2, {1, layout::kNoOwner, WaiterState::kWoken, 1});
  set_waiter(3, {1, 1, WaiterState::kWaiting, 0});
  EXPECT_EQ(repair().waiters, 3u);
  EXPECT_EQ(pool_.pool().line().count_waiting(), 1u);
  EXPECT_EQ(waiter(3), WaiterState::kWaiting);
  EXPECT_TRUE(pool_.pool().line().wake_one()) << "it is in the line again";
}

TEST_F(RepairTest, WakesACallerThatSleepsAtAPlaceThatWasScribbledOver) {
  ASSERT_EQ(claimable(), kSlots);
  const auto waiter = pool_.pool().line().try_register(0);
  std::thread sleeper([&] { EXPECT_TRUE(pool_.pool().line().sleep(*waiter, shm::kNever)); });
  ASSERT_TRUE(testing::eventually([&] { return pool_.segment().header().audit_bell.load() == 1; }));
  set_waiter(*waiter, {1, kGone, WaiterState::kWaiting, 0});
  repair();
  sleeper.join();
}

TEST_F(RepairTest, RenewsRingsAndListsWhatIsFree) {
  for (std::uint32_t depth = 0; depth < pool_.segment().free_ring_count(); ++depth) {
    const shm::Ring ring = pool_.segment().free_ring(depth);
    EXPECT_TRUE(ring.is_sound());
  }
  RandomSource random;
  // All cells of all free rings, and of the line.
  auto* cells = reinterpret_cast<std::atomic<std::uint64_t>*>(&pool_.segment().header());
  const layout::ControlOffsets offsets(pool_.segment().geometry());
  for (std::uint64_t at = offsets.waiting_line / 8; at < offsets.total / 8; ++at) {
    cells[at].store(random.word());
  }
  const auto waiter = pool_.pool().line().try_register(1);
  EXPECT_EQ(repair().rings, pool_.segment().free_ring_count() + 1);
  EXPECT_TRUE(pool_.pool().line().sleep(*waiter, 1)) << "free slots wake it";
  pool_.pool().line().leave(*waiter);
  EXPECT_FALSE(pool_.pool().line().wake_one()) << "nobody is left in the line";
  EXPECT_EQ(claimable(), kSlots);
}

TEST_F(RepairTest, WakesAWorkerBehindABellThatWasScribbledOver) {
  const EchoWorker worker(pool_);
  const auto client = pool_.client(0);
  ASSERT_TRUE(testing::eventually([&] { return pool_.segment().seat(0).bell.load() != 0; }));
  pool_.segment().seat(0).bell.store(0);  // a ringer believes that it is awake
  Lease lease = submit(*client, "hello").value();
  repair();
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(RepairTest, WakesAnAuditBehindABellThatWasScribbledOver) {
  std::atomic<bool> stop{false};
  std::thread audit([&] { testing::await_sleepers(pool_.pool().line(), stop); });
  const auto waiter = pool_.pool().line().try_register(0);
  pool_.segment().header().audit_bell.store(7);  // nobody rings a bell that rings
  repair();
  audit.join();  // by the bell or by the repair
  pool_.pool().line().leave(*waiter);
}

TEST_F(RepairTest, MendsAPoolThatWasScribbledOverAtRandom) {
  RandomSource random;
  for (int round = 0; round < testing::effort(60); ++round) {
    scribble(random, 1 + static_cast<int>(random.below(2000)));
    repair();
    auto first = pool_.client(0), second = pool_.client(1);
    // The owners that the words may name look for what they do not hold; the worker does, too.
    pool_.segment().header().repair_epoch.fetch_add(1);
    for (auto* client : {first.get(), second.get()}) (void)client->claim(1).ok();
    let_worker_look();
    pool_.segment().header().repair_epoch.fetch_add(1);
    for (auto* client : {first.get(), second.get()}) (void)client->claim(1).ok();
    repair();
    ASSERT_EQ(repair().total(), 0u) << "round " << round;
    ASSERT_EQ(pool_.segment().busy_slots(0), 0u) << "round " << round;
    ASSERT_EQ(pool_.pool().line().count_waiting(), 0u) << "round " << round;
    if (round % 16 == 0) expect_right_calls();
  }
}

TEST_F(RepairTest, IsNoticedWhateverAPeerWroteIntoItsEpoch) {
  std::atomic<std::uint32_t>& epoch = pool_.segment().header().repair_epoch;
  const auto client = pool_.client(0);
  repair();
  const std::uint32_t before = epoch.load();
  epoch.store(before + 1);
  client->claim(1).value().release();  // takes note of it
  epoch.store(before);
  pool_.set_word(1, {77, 0, SlotState::kReplied, 0});
  repair();
  client->claim(1).value().release();
  EXPECT_EQ(pool_.state(1), SlotState::kFree);
}

TEST_F(RepairTest, MayBeKilledAnywhereAndRepeated) {
  if (!testing::kDeathsAtAccesses) GTEST_SKIP() << "needs x86-64";
  RandomSource random;
  const auto break_it = [&] {
    pool_.segment().header().magic.store(0);
    pool_.segment().seat(0).word.store(0);
    pool_.set_word(0, {7, kGone, SlotState::kClaimed, 0});
    pool_.set_word(1, {7, kGone, kImpossible, 0});
    pool_.segment().seat(0).bell.store(3);
    set_waiter(1, {1, kGone, WaiterState::kWoken, 1});
    auto* ring = reinterpret_cast<std::atomic<std::uint64_t>*>(
        reinterpret_cast<std::byte*>(&pool_.segment().header()) +
        layout::ControlOffsets(pool_.segment().geometry()).free_rings);
    ring->store(12'345);
  };
  bool survived = false;
  for (int fatal = 0; !survived; fatal += 1 + static_cast<int>(random.below(24))) {
    break_it();
    survived = testing::survives_access(
        pool_.segment(), fatal, [] { return 0; }, [&](int) { (void)repair(); });
    repair();
    let_worker_look();
    ASSERT_EQ(repair().total(), 0u) << "killed at access " << fatal;
    ASSERT_EQ(pool_.segment().busy_slots(0), 0u) << "killed at access " << fatal;
  }
  expect_right_calls();
}

TEST_F(RepairTest, DisturbsNobodyAtWork) {
  const EchoWorker worker(pool_);
  std::atomic<bool> stop{false};
  std::vector<std::thread> callers;
  for (std::uint32_t index = 0; index < 2; ++index) {
    callers.emplace_back([&, index] {
      const auto client = pool_.client(index);
      for (int i = 0; !stop.load(); ++i) {
        const std::string text = std::to_string(index) + ":" + std::to_string(i);
        Result<Lease> lease = submit(*client, text, testing::soon(20'000));
        if (!lease) {
          ADD_FAILURE() << lease.error().to_string();
          return;
        }
        Result<ReplyView> reply = lease->wait();
        EXPECT_EQ(reply ? text_of(*reply) : reply.error().to_string(), text);
      }
    });
  }
  for (int i = 0; i < testing::effort(500); ++i) EXPECT_EQ(repair().total(), 0u);
  stop.store(true);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

}  // namespace
}  // namespace slotring
