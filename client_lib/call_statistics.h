// Counting calls in shared memory, and reading what was counted (schemas/stats_layout.h).
//
// A client counts in rows of its own place, which no other process writes: a row a method. A row's
// page gets its memory with the first call that it counts; where there is none to be had, those
// calls are not counted, and nothing else happens.

#ifndef SLOTRING_CLIENT_LIB_CALL_STATISTICS_H_
#define SLOTRING_CLIENT_LIB_CALL_STATISTICS_H_

#include <atomic>
#include <cstdint>

#include "client_lib/shm/control_segment.h"
#include "slotring/error.h"
#include "slotring/statistics.h"

namespace slotring::internal {

// Adds one call that ended with `outcome`, kNone for a reply, after `ns`. Thread-safe.
void count_call(layout::CallStats& stats, ErrorCategory outcome, std::uint64_t ns);

// Thread-safe, lock-free.
class CallStatistics {
 public:
  // `segment` outlives this; `client` is this process's own place.
  CallStatistics(const shm::ControlSegment& segment, std::uint32_t client)
      : segment_(&segment), client_(client) {}

  // The row of a method's id; 0 for methods that are counted together.
  static constexpr std::uint16_t row_of(std::uint16_t method) {
    return method < layout::kStatsMethods ? method : std::uint16_t{0};
  }
  // REQUIRES: row < kStatsMethods.
  void count(std::uint16_t row, ErrorCategory outcome, std::uint64_t ns);

 private:
  const shm::ControlSegment* segment_;
  std::uint32_t client_;
  // The pages that this process has backed: what the segment says of that, others can write.
  std::atomic<std::uint64_t> backed_{0};
};

// Of all clients and workers. Reads only pages that have memory; for observers, too.
PoolStatistics read_statistics(const shm::ControlSegment& segment);

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_CALL_STATISTICS_H_
