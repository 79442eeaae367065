// How long workers take to be ready, and what they and their slots take of memory.

#include <algorithm>
#include <fstream>
#include <memory>
#include <sstream>

#include "client_lib/shm/memory.h"
#include "tools/bench/child_process.h"
#include "tools/growth_report/figures.h"
#include "tools/growth_report/real_pool.h"
#include "tools/growth_report/simulated_pool.h"

namespace slotring::growth {
namespace {

constexpr int kStarts[] = {1, 8, 64};
constexpr int kRounds = 3;
constexpr int kPools[] = {1, 8};
constexpr int kSlotWorkers[] = {1, 4, 16, 64};

// A way to start workers: lines of the pool's table.
struct Start {
  const char* name;
  const char* keys;
};
constexpr Start kWays[] = {
    {"process", ""},
    {"template", "start = \"template\"\npreload = [\"bench_worker\"]\n"},
};

// Whether this supervisor's configuration knows them.
bool knows(const RealPools& real, const Start& way) {
  const std::string file = real.folder + "/" + way.name + ".toml";
  std::ofstream(file) << "[pool.asked]\nmodule = \"bench_worker\"\nsocket = \"asked.sock\"\n"
                      << way.keys;
  return bench::ChildProcess::start({real.supervisor, "--config", file, "--check"},
                                    real.folder + "/check.log")
      .wait();
}

double time_of_start(const RealPools& real, const Start& way, int workers) {
  const shm::MonotonicNs begin = shm::monotonic_now();
  const RealPool pool(real, {{.name = "started", .workers = workers, .keys = way.keys}});
  return static_cast<double>(shm::monotonic_now() - begin);
}

// A line of /proc/PID/smaps_rollup, or the sum of those that begin so.
double rolled_up_bytes(pid_t process, const std::vector<std::string>& lines) {
  std::ifstream file("/proc/" + std::to_string(process) + "/smaps_rollup");
  double bytes = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    double kib = 0;
    words >> name >> kib;
    if (std::find(lines.begin(), lines.end(), name) != lines.end()) bytes += kib * 1024;
  }
  return bytes;
}

double bytes_of_worker(RealPool& pool, const std::vector<std::string>& lines) {
  std::vector<double> found;
  for (const pid_t worker : pool.workers("idle")) found.push_back(rolled_up_bytes(worker, lines));
  return summarize(found).median;
}

struct Part {
  const char* figure;
  std::vector<std::string> lines;
};

// What a pool's memory has behind it before anybody uses it, a slot; with the sizes of the
// configuration's defaults.
double bytes_of_slot(int workers) {
  layout::Geometry geometry = simulated_geometry(static_cast<std::uint32_t>(workers));
  geometry.area_bytes = std::uint64_t{64} << 20;
  geometry.warm_bytes = 256 * 1024;
  geometry.kept_bytes = std::uint64_t{20} << 20;
  geometry.max_sessions = 1024;
  const testing::LocalPool pool(geometry);
  const std::uint64_t bytes = shm::backed_bytes(pool.segment().memory()) +
                              shm::backed_bytes(pool.requests().memory()) +
                              shm::backed_bytes(pool.replies().memory());
  return static_cast<double>(bytes) / geometry.slots();
}

}  // namespace

std::vector<Series> starts_of_workers(const RealPools& real) {
  std::vector<Series> all;
  for (const Start& way : kWays) {
    if (!knows(real, way)) continue;
    Series series{.figure = std::string("start of all workers, start = \"") + way.name + '"',
                  .over = "workers",
                  .how = "a supervisor and its Python workers, of a module of one import",
                  .most_rounds = kRounds};
    for (const int workers : kStarts) {
      series.points.push_back({workers, [=] { return time_of_start(real, way, workers); }});
    }
    all.push_back(std::move(series));
  }
  return all;
}

std::vector<Series> memory_of_workers(const RealPools& real) {
  const Part kParts[] = {
      {"an idle worker's own memory (USS)", {"Private_Clean:", "Private_Dirty:"}},
      {"an idle worker's share (PSS)", {"Pss:"}}};
  std::vector<Series> all;
  for (const Start& way : kWays) {
    if (!knows(real, way)) continue;
    std::vector<std::shared_ptr<RealPool>> pools;
    for (const int workers : kPools) {
      pools.push_back(std::make_shared<RealPool>(
          real,
          std::vector<bench::PoolShape>{{.name = "idle", .workers = workers, .keys = way.keys}}));
    }
    for (const Part& part : kParts) {
      Series series{.figure = std::string(part.figure) + ", start = \"" + way.name + '"',
                    .over = "workers",
                    .unit = Unit::kBytes,
                    .how = "real workers, of a module of one import",
                    .most_rounds = kRounds};
      for (std::size_t i = 0; i < pools.size(); ++i) {
        series.points.push_back(
            {kPools[i], [pool = pools[i], part] { return bytes_of_worker(*pool, part.lines); }});
      }
      all.push_back(std::move(series));
    }
  }
  Series slot{.figure = "a slot: control segment and both areas, a slot of them",
              .over = "workers of 4 slots",
              .unit = Unit::kBytes,
              .how = "the memory as a supervisor makes it, at the default sizes",
              .most_rounds = 1};
  for (const int workers : kSlotWorkers) {
    slot.points.push_back({workers, [=] { return bytes_of_slot(workers); }});
  }
  all.push_back(std::move(slot));
  return all;
}

}  // namespace slotring::growth
