// Threads on the real pool: every history must be linearizable; and on flawed ones, where one must
// soon be found that is not.

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/linearizability/checker.h"
#include "tests/linearizability/flawed_pool.h"
#include "tests/linearizability/real_pool.h"
#include "tests/linearizability/threads_run.h"
#include "tests/support/effort.h"

namespace slotring::linearizability {
namespace {

using testing::effort;
using testing::RandomSource;

// How many pairs of operations overlapped: what makes a history worth checking.
std::size_t overlaps(const History& history) {
  std::size_t pairs = 0;
  for (const Operation& a : history) {
    pairs += static_cast<std::size_t>(std::count_if(
        history.begin(), history.end(),
        [&a](const Operation& b) { return a.called < b.called && b.called < a.returned; }));
  }
  return pairs;
}

struct Shape {
  std::uint32_t seats;
  std::uint32_t slots_per_seat;
  std::uint16_t callers;
  std::uint16_t clients;
  int histories;
};

void expect_linearizable(const Shape& shape) {
  RealPool pool(shape.seats, shape.slots_per_seat);
  ThreadsRun threads(pool, shape.callers, shape.clients, /*rounds=*/3);
  RandomSource random(shape.seats * 16 + shape.slots_per_seat);
  std::size_t operations = 0, overlapping = 0, configurations = 0;
  for (int i = 0; i < effort(shape.histories); ++i) {
    const SequentialPool initial(pool.generations(), shape.slots_per_seat);
    const History history = threads.run(random);
    Checker checker(initial, history);
    ASSERT_TRUE(checker.linearizable()) << "history " << i << ":\n"
                                        << to_string(smallest_violation(initial, history));
    operations += history.size();
    overlapping += overlaps(history);
    configurations += checker.configurations();
    pool.expect_idle();
  }
  EXPECT_GT(overlapping, 0u) << "nothing was concurrent";
  std::printf("%d histories, %zu operations, %zu pairs overlapped, %zu configurations\n",
              effort(shape.histories), operations, overlapping, configurations);
}

TEST(LinearizabilityOfThreads, HoldsForOneSlotThatAllWant) {
  expect_linearizable(
      // Fewer than of the others: who loses sleeps, and is woken when the machine has time for it.
      {.seats = 1, .slots_per_seat = 1, .callers = 3, .clients = 3, .histories = 1500});
}

TEST(LinearizabilityOfThreads, HoldsForTwoSlotsOfOneWorker) {
  expect_linearizable(
      {.seats = 1, .slots_per_seat = 2, .callers = 3, .clients = 2, .histories = 6000});
}

TEST(LinearizabilityOfThreads, HoldsForTwoWorkers) {
  expect_linearizable(
      {.seats = 2, .slots_per_seat = 1, .callers = 3, .clients = 2, .histories = 6000});
}

// How many histories it took to find one that is not linearizable; 0 when none was found.
int histories_until_found(Flaw flaw, int most) {
  RandomSource random(static_cast<std::uint64_t>(flaw));
  for (int i = 1; i <= most; ++i) {
    FlawedPool pool(flaw);
    const SequentialPool initial(pool.generations(), pool.slots_per_seat());
    const History history = ThreadsRun(pool, 3, 3, /*rounds=*/3).run(random);
    if (Checker(initial, history).linearizable()) continue;
    const History smallest = smallest_violation(initial, history);
    EXPECT_LE(smallest.size(), history.size());
    std::printf("found after %d histories:\n%s", i, to_string(smallest).c_str());
    return i;
  }
  return 0;
}

TEST(LinearizabilityOfThreads, ANonAtomicClaimIsFound) {
  EXPECT_GT(histories_until_found(Flaw::kClaimInTwoSteps, 20'000), 0);
}

TEST(LinearizabilityOfThreads, AReplyWithoutLookAtTheGenerationIsFound) {
  EXPECT_GT(histories_until_found(Flaw::kLateReply, 20'000), 0);
}

TEST(LinearizabilityOfThreads, APoolWithoutFlawIsNotAccused) {
  EXPECT_EQ(histories_until_found(Flaw::kNone, effort(300)), 0);
}

}  // namespace
}  // namespace slotring::linearizability
