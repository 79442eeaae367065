// Load beside a turn, and how busy the CPUs are besides.

#ifndef SLOTRING_TOOLS_BENCH_BUSY_PROCESSES_H_
#define SLOTRING_TOOLS_BENCH_BUSY_PROCESSES_H_

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "client_lib/shm/futex.h"
#include "tools/bench/child_process.h"
#include "tools/bench/process_usage.h"

namespace slotring::bench {

// What computes beside a turn that is to be measured under load.
class BusyProcesses {
 public:
  explicit BusyProcesses(int count) {
    for (int i = 0; i < count; ++i) {
      processes_.push_back(ChildProcess::fork([]() -> int {
        for (volatile std::uint64_t number = 0;;) number = number * 3 + 1;
      }));
    }
  }

  double cpu_seconds() const {
    double seconds = 0;
    for (const ChildProcess& process : processes_) seconds += usage_of(process.pid()).cpu_seconds;
    return seconds;
  }

 private:
  std::vector<ChildProcess> processes_;
};

// How busy all CPUs are from its making on.
class CpuWatch {
 public:
  struct Seen {
    double busy_seconds;  // without the busy processes
    double elapsed_seconds;

    double others_share(double own_seconds) const {
      const auto cpus = static_cast<double>(std::thread::hardware_concurrency());
      return std::max(0.0, busy_seconds - own_seconds) / (elapsed_seconds * cpus);
    }
  };

  explicit CpuWatch(const BusyProcesses& busy)
      : busy_(busy), begin_(shm::monotonic_now()), before_(used()) {}

  Seen look() const {
    return {used() - before_, static_cast<double>(shm::monotonic_now() - begin_) / 1e9};
  }

 private:
  // Without what this process takes, which looks on.
  double used() const { return busy_cpu_seconds() - busy_.cpu_seconds() - own_usage().cpu_seconds; }

  const BusyProcesses& busy_;
  shm::MonotonicNs begin_;
  double before_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BUSY_PROCESSES_H_
