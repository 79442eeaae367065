#include <chrono>
#include <memory>
#include <thread>

#include "client_lib/shm/reclaim.h"
#include "tools/bench/process_usage.h"
#include "tools/growth_report/figures.h"
#include "tools/growth_report/real_pool.h"
#include "tools/growth_report/simulated_pool.h"

namespace slotring::growth {
namespace {

constexpr int kDead[] = {1, 10, 100, 1'000};
constexpr int kWorkers[] = {1, 4, 16, 64, 256};
constexpr std::chrono::seconds kPatience(60);
// 1,116 slots, so that each of 1,000 clients holds one.
constexpr char kKeys[] =
    "slots_per_worker = 124\nmax_clients = 1100\nwarm_bytes = \"16 KiB\"\n"
    "slot_bytes = \"64 KiB\"\nkept_bytes = \"16 KiB\"\n";
constexpr int kSlotWorkers = 9;
constexpr int kRounds = 5;

struct Mourners {
  explicit Mourners(const RealPools& real)
      : pool(real, {{.name = "mourned", .workers = kSlotWorkers, .keys = kKeys}}),
        path(pool.socket_path("mourned")),
        observed(path) {}
  RealPool pool;
  std::string path;
  Observed observed;
};

struct Cost {
  double ns = 0;
  double supervisor_cpu_ns = 0;
};

// From the first kill to the last slot and the last place in the table.
Cost cost_of_deaths(Mourners& mourners, int count) {
  IdleClients clients(mourners.path, count, /*with_a_slot=*/true);
  if (mourners.observed.held_slots() != static_cast<std::uint32_t>(count)) {
    throw Exception(Error{ErrorCode::kInternal, "not every client holds a slot"});
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const double cpu_before = bench::usage_of(mourners.pool.supervisor()).cpu_seconds;
  const shm::MonotonicNs begin = shm::monotonic_now();
  clients.kill();
  while (mourners.observed.held_slots() > 0 || mourners.observed.clients() > 0) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw Exception(Error{ErrorCode::kInternal, "dead clients were not reclaimed"});
    }
    bench::check_interrupted();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  const double ns = static_cast<double>(shm::monotonic_now() - begin);
  return {ns / count,
          (bench::usage_of(mourners.pool.supervisor()).cpu_seconds - cpu_before) * 1e9 / count};
}

Series by_slots() {
  Series series{.figure = "the reaper's walk after one client's death",
                .over = "workers of 4 slots",
                .how = "a client that holds one slot; no process dies"};
  for (const int workers : kWorkers) {
    const auto pool =
        std::make_shared<SimulatedPool>(simulated_geometry(static_cast<std::uint32_t>(workers)));
    series.points.push_back({workers, [pool] {
                               return time_of(200, [&] {
                                 if (!pool->slots().try_claim(SimulatedPool::kHolder)) {
                                   throw Exception(Error{ErrorCode::kInternal, "no slot is free"});
                                 }
                                 (void)shm::reclaim_client(pool->slots(), SimulatedPool::kHolder);
                               });
                             }});
  }
  return series;
}

}  // namespace

std::vector<Series> deaths_of_clients(const RealPools& real) {
  const auto mourners = std::make_shared<Mourners>(real);
  Series all{.figure = "from the first SIGKILL until all slots are free, a client"};
  Series cpu{.figure = "CPU time of the supervisor for that, a client"};
  for (const int count : kDead) {
    all.points.push_back({count, [=] { return cost_of_deaths(*mourners, count).ns; }});
    cpu.points.push_back(
        {count, [=] { return cost_of_deaths(*mourners, count).supervisor_cpu_ns; }});
  }
  for (Series* series : {&all, &cpu}) {
    series->over = "clients killed at once";
    series->how = "real processes, which hold a slot each, of 1,116";
    series->most_rounds = kRounds;
  }
  return {std::move(all), std::move(cpu), by_slots()};
}

}  // namespace slotring::growth
