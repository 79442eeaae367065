#include <time.h>

#include <algorithm>
#include <memory>

#include "tools/bench/child_process.h"
#include "tools/bench/shared_block.h"
#include "tools/growth_report/figures.h"
#include "tools/growth_report/simulated_pool.h"

namespace slotring::growth {
namespace {

constexpr int kClaimers[] = {1, 2, 4, 16, 64};
constexpr std::uint32_t kWorkers = 64;  // so that each has one for itself
constexpr int kClaims = 50'000;
constexpr int kRounds = 5;

struct Results {
  std::atomic<int> ready{0};
  std::array<std::atomic<double>, 64> ns_a_claim{};
};

double cpu_ns() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e9 + static_cast<double>(used.tv_nsec);
}

// In a child: an owner of its own, and all of them at once. Each on the slot that it had last, or
// all from the same rings.
int claim_often(const testing::LocalPool& pool, int claimers, int index, bool last_slot,
                Results& results) {
  const auto owner = static_cast<std::uint16_t>(index);
  const shm::SlotIndex last =
      last_slot ? pool.segment().first_slot(static_cast<shm::SeatIndex>(index)) : shm::kNoSlot;
  const auto claim = [&] {
    const shm::Claim held = pool.pool().claim(owner, last, shm::kNever).value();
    (void)pool.pool().try_release(held.slot, held.word, shm::Actor::kClient);
  };
  for (int i = 0; i < 100; ++i) claim();
  ++results.ready;
  while (results.ready.load() < claimers) shm::yield_cpu();
  const double begin = cpu_ns();
  for (int i = 0; i < kClaims; ++i) claim();
  results.ns_a_claim[static_cast<std::size_t>(index)] = (cpu_ns() - begin) / kClaims;
  return 0;
}

double claim_at_once(const testing::LocalPool& pool, int claimers, bool last_slot) {
  const bench::SharedBlock block(sizeof(Results));
  Results& results = *new (block.data()) Results;
  std::vector<bench::ChildProcess> children;
  for (int i = 0; i < claimers; ++i) {
    children.push_back(bench::ChildProcess::fork(
        [&, i] { return claim_often(pool, claimers, i, last_slot, results); }));
  }
  std::vector<double> found;
  for (int i = 0; i < claimers; ++i) {
    if (!children[static_cast<std::size_t>(i)].wait()) {
      throw Exception(Error{ErrorCode::kInternal, "a claiming process failed"});
    }
    found.push_back(results.ns_a_claim[static_cast<std::size_t>(i)]);
  }
  return summarize(found).median;
}

}  // namespace

std::vector<Series> claims_by_claimers() {
  const auto pool = std::make_shared<SimulatedPool>(simulated_geometry(kWorkers));
  std::vector<Series> all;
  for (const bool last_slot : {true, false}) {
    Series series{.figure = last_slot ? "claim and release by all at once, each its last slot"
                                      : "claim and release by all at once, from the same rings",
                  .over = "claiming processes",
                  .how = "CPU time; real processes, 64 workers that do not run",
                  .most_rounds = kRounds};
    for (const int claimers : kClaimers) {
      series.points.push_back(
          {claimers, [=] { return claim_at_once(pool->local(), claimers, last_slot); }});
    }
    all.push_back(std::move(series));
  }
  return all;
}

}  // namespace slotring::growth
