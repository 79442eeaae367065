#include "client_lib/shm/observed_call.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using testing::EchoWorker;
using testing::LocalPool;
using testing::submit;

constexpr std::uint64_t kSecond = 1'000'000'000;

class ObservedCallTest : public ::testing::Test {
 protected:
  ObservedCallTest() {
    pool_.publish_all();
    pool_.intern("echo");
  }

  std::optional<ObservedCall> observe(MonotonicNs now = monotonic_now()) const {
    return observe_call(pool_.segment(), 0, now);
  }
  layout::SeatRecord& record() const { return pool_.segment().seat(0); }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  WorkerSeat seat_ = pool_.worker();
};

TEST_F(ObservedCallTest, SeesNothingOfAnIdleWorker) { EXPECT_FALSE(observe().has_value()); }

TEST_F(ObservedCallTest, SeesNothingOfACallThatNoWorkerStarted) {
  const Lease lease = submit(*client_, "hello").value();
  EXPECT_FALSE(observe().has_value());
}

TEST_F(ObservedCallTest, SeesWhatAWorkerRunsAndSinceWhen) {
  const MonotonicNs before = coarse_now();
  const Lease first = submit(*client_, "a").value(), second = submit(*client_, "b").value();
  EchoWorker::echo(seat_, seat_.try_next().value());
  const RunningCall call = seat_.try_next().value();
  const ObservedCall seen = observe(before + 5 * kSecond).value();
  EXPECT_EQ(seen.slot, call.slot);
  EXPECT_EQ(seen.running.generation, call.word.generation);
  EXPECT_EQ(seen.running.method, 1);
  EXPECT_FALSE(seen.abandoned);
  EXPECT_LE(seen.run_ns, 5 * kSecond);
  EXPECT_GT(seen.run_ns, 0u);
}

TEST_F(ObservedCallTest, SeesOfSeveralCallsTheOneThatHasRunTheLongest) {
  std::vector<Lease> leases;
  for (int i = 0; i < 3; ++i) leases.push_back(submit(*client_, "x").value());
  std::vector<RunningCall> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(seat_.try_next().value());
  EXPECT_EQ(observe()->slot, calls[0].slot);
  EchoWorker::echo(seat_, calls[1]);
  EXPECT_EQ(observe()->slot, calls[0].slot);
  EchoWorker::echo(seat_, calls[0]);
  EXPECT_EQ(observe()->slot, calls[2].slot);
  EchoWorker::echo(seat_, calls[2]);
  EXPECT_FALSE(observe().has_value());
}

TEST_F(ObservedCallTest, SeesThatACallIsOver) {
  Lease lease = submit(*client_, "hello").value();
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_FALSE(observe().has_value());
  EXPECT_EQ(record().running.load(), 0u);
}

TEST_F(ObservedCallTest, SeesAnAbandonedCallUntilItsWorkerLetsGo) {
  Lease lease = submit(*client_, "hello").value();
  const RunningCall call = seat_.try_next().value();
  lease.release();
  EXPECT_TRUE(observe().value().abandoned);
  EchoWorker::echo(seat_, call);
  EXPECT_FALSE(observe().has_value());
}

TEST_F(ObservedCallTest, TellsAHungInterpreterFromABusyOne) {
  const Lease lease = submit(*client_, "hello").value();
  (void)seat_.try_next().value();
  const MonotonicNs since = record().running_since.load();
  EXPECT_FALSE(observe(since + kHungAfterNs - 1)->hung()) << "it does not run long enough";
  EXPECT_TRUE(observe(since + kHungAfterNs)->hung());
  record().interpreter_seen_ns.store(since + kSecond);
  EXPECT_FALSE(observe(since + kSecond + kHungAfterNs - 1)->hung());
  EXPECT_TRUE(observe(since + kSecond + kHungAfterNs)->hung());
  record().interpreter_seen_ns.store(since - kSecond);
  EXPECT_FALSE(observe(since + kHungAfterNs - 1)->hung()) << "a sign from before the call";
}

TEST_F(ObservedCallTest, SeesNothingOfAWorkerThatDiedInACall) {
  const Lease lease = submit(*client_, "hello").value();
  (void)seat_.try_next().value();
  pool_.set_seat(0, layout::SeatState::kLost);
  reclaim_worker(pool_.pool(), 0, 1, /*retired=*/false);
  EXPECT_FALSE(observe().has_value());
  const WorkerSeat successor = pool_.worker();
  EXPECT_EQ(record().running.load(), 0u);
}

// Records that no correct worker writes.

TEST_F(ObservedCallTest, BelievesNoRecordThatItsSlotDoesNotConfirm) {
  const Lease lease = submit(*client_, "hello").value();
  const RunningCall call = seat_.try_next().value();
  const std::uint32_t generation = call.word.generation;
  for (const layout::RunningWord lie :
       {layout::RunningWord{generation + 1, 0, 1}, layout::RunningWord{generation, 1, 1},
        layout::RunningWord{generation, 4, 1}, layout::RunningWord{generation, 0xFFFE, 1},
        layout::RunningWord{generation, 0xFFFF, 1}}) {
    record().running.store(lie.pack());
    EXPECT_FALSE(observe().has_value()) << lie.slot_of_worker;
  }
}

TEST_F(ObservedCallTest, TakesATimeThatIsNotYetAsNow) {
  const Lease lease = submit(*client_, "hello").value();
  (void)seat_.try_next().value();
  record().running_since.store(~std::uint64_t{0});
  record().interpreter_seen_ns.store(~std::uint64_t{0});
  EXPECT_EQ(observe()->run_ns, 0u);
  EXPECT_FALSE(observe()->hung());
}

}  // namespace
}  // namespace slotring::shm
