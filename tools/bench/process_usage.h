// What processes have used so far.

#ifndef SLOTRING_TOOLS_BENCH_PROCESS_USAGE_H_
#define SLOTRING_TOOLS_BENCH_PROCESS_USAGE_H_

#include <sys/types.h>

#include <vector>

namespace slotring::bench {

struct ProcessUsage {
  double cpu_seconds = 0;  // user and system, all threads together
  double page_faults = 0;
  double wake_ups = 0;  // from a wait that gave the CPU away: voluntary context switches

  ProcessUsage& operator+=(const ProcessUsage& other);
  ProcessUsage& operator-=(const ProcessUsage& other);
};

ProcessUsage own_usage();

// Of another process; zeros when it is gone.
ProcessUsage usage_of(pid_t process);

ProcessUsage usage_of_all(const std::vector<pid_t>& processes);

// What all CPUs together have been busy with so far, for anybody; in steps of 10 ms a CPU.
double busy_cpu_seconds();

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_PROCESS_USAGE_H_
