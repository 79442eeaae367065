// What the clients of a turn have measured, once they have ended.

#ifndef SLOTRING_TOOLS_BENCH_TURN_MEASURE_H_
#define SLOTRING_TOOLS_BENCH_TURN_MEASURE_H_

#include <cstdint>
#include <vector>

#include "client_lib/shm/futex.h"
#include "tools/bench/latency_histogram.h"
#include "tools/bench/process_usage.h"

namespace slotring::bench {

// Of all clients together, with the servers' usage.
struct TurnMeasure {
  LatencyHistogram latencies;
  ProcessUsage used;
  double calls_per_second = 0;
  std::vector<std::uint64_t> calls_of_each;
  double others_cpu_share = 0;

  void add(const LatencyHistogram& of_client, shm::MonotonicNs took) {
    latencies.add(of_client);
    calls_of_each.push_back(of_client.total());
    calls_per_second += static_cast<double>(of_client.total()) * 1e9 / static_cast<double>(took);
  }
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_TURN_MEASURE_H_
