#include <memory>

#include "tools/growth_report/figures.h"
#include "tools/growth_report/simulated_pool.h"

namespace slotring::growth {
namespace {

constexpr int kWorkers[] = {1, 4, 16, 64, 256};
constexpr int kTimes = 2'000;
constexpr char kSimulated[] = "no worker runs";
constexpr char kPlayed[] = "the workers' C++ part runs on the caller's thread";

using Which = SimulatedPool::Which;
using Pool = std::shared_ptr<SimulatedPool>;

std::vector<Pool> pools(bool saturated) {
  std::vector<Pool> made;
  for (const int workers : kWorkers) {
    made.push_back(
        std::make_shared<SimulatedPool>(simulated_geometry(static_cast<std::uint32_t>(workers))));
    if (saturated) made.back()->saturate();
  }
  return made;
}

template <class Body>
Series series_of(const char* figure, const char* how, const std::vector<Pool>& pools, Body body) {
  Series series{.figure = figure, .over = "workers", .how = how};
  for (const Pool& pool : pools) {
    const auto workers = static_cast<int>(pool->local().segment().geometry().max_workers);
    series.points.push_back({workers, [pool, body] {
                               body(*pool);  // for the caches
                               return time_of(kTimes, [&] { body(*pool); });
                             }});
  }
  return series;
}

shm::Claim claim(SimulatedPool& pool) {
  return pool.slots().claim(SimulatedPool::kHolder, shm::kNoSlot, shm::kNever).value();
}

// Looks everywhere, and goes.
void claim_in_vain(SimulatedPool& pool) {
  constexpr shm::MonotonicNs kPassed = 1;
  if (pool.slots().claim(SimulatedPool::kHolder, shm::kNoSlot, kPassed)) {
    throw Exception(Error{ErrorCode::kInternal, "a slot was free"});
  }
}

void claim_the_only_one(SimulatedPool& pool) {
  pool.free_one();
  pool.hold(claim(pool));
}

}  // namespace

std::vector<Series> claims_by_workers() {
  const std::vector<Pool> idle = pools(/*saturated=*/false);
  const std::vector<Pool> busy = pools(/*saturated=*/true);
  const std::vector<Pool> waited_for = pools(/*saturated=*/true);
  // Two wait, by a bell, so that nobody has to sleep: one is woken, the other still waits.
  const auto line_up = [](SimulatedPool& pool) {
    (void)pool.slots().line().try_register(SimulatedPool::kHolder, shm::WaitingLine::Wake::kBell);
  };
  for (const Pool& pool : waited_for) line_up(*pool), line_up(*pool);
  const auto claim_in_line = [](SimulatedPool& pool) {
    claim_the_only_one(pool);
    for (const shm::WaiterIndex place : {0u, 1u}) {
      if (pool.slots().line().is_woken(place)) pool.slots().line().acknowledge(place);
    }
  };
  const auto claim_any = [](Which which) {
    return [which](SimulatedPool& pool) { pool.claim(which).release(); };
  };
  const auto call = [](Which which) { return [which](SimulatedPool& pool) { pool.call(which); }; };
  return {
      series_of("claim and release, the thread's last slot", kSimulated, idle,
                claim_any(Which::kLast)),
      series_of("claim and release, another worker each time", kSimulated, idle,
                claim_any(Which::kAnother)),
      series_of("release and claim, the only free slot", kSimulated, busy, claim_the_only_one),
      series_of("release and claim, while others wait", kSimulated, waited_for, claim_in_line),
      series_of("claim in vain, no slot free", kSimulated, busy, claim_in_vain),
      series_of("call of 64 bytes, the thread's last slot", kPlayed, idle, call(Which::kLast)),
      series_of("call of 64 bytes, another worker each time", kPlayed, idle, call(Which::kAnother)),
  };
}

}  // namespace slotring::growth
