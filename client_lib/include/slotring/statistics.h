// What became of a pool's calls, and how long they took, since the pool began.
//
// Clients count each call that they end, whatever it ended with: Client::call() once, or once for
// each attempt that it was told to make, from its start to its end, waiting for a slot included; a
// Lease from its claim to the end of wait(). Those that never got a slot count too. A lease that is
// given back without wait() is no call that ended, and a child made by fork() counts nothing.
// Workers count for themselves what they spend in a call.
//
// The figures are in the pool's shared memory and are those of all clients, of those that left,
// too. They are counted one by one: a sum that is taken meanwhile may have a call in one figure and
// not yet in another.

#ifndef SLOTRING_STATISTICS_H_
#define SLOTRING_STATISTICS_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "slotring/error.h"

namespace slotring {

struct CallFigures {
  std::uint64_t calls = 0;                // that ended
  std::array<std::uint64_t, 16> ended{};  // of those, by ErrorCategory; kNone for a reply
  std::chrono::nanoseconds mean{0};
  // From a histogram whose buckets double every two: within 25 % of what was measured, between
  // 256 ns and 1 s. `longest` is the upper end of the last bucket that holds a call. Calls of more
  // than a second are one bucket: these figures are estimated from their mean then, `longest` too.
  std::chrono::nanoseconds p50{0};
  std::chrono::nanoseconds p90{0};
  std::chrono::nanoseconds p99{0};
  std::chrono::nanoseconds longest{0};

  std::uint64_t with(ErrorCategory category) const {
    return ended[static_cast<std::size_t>(category)];
  }
  std::uint64_t errors() const { return calls - with(ErrorCategory::kNone); }
};

struct MethodFigures {
  // Empty for calls that are counted together: of methods that the pool does not know, of those
  // past its first 127, and leases that ended before they named one.
  std::string method;
  CallFigures figures;
};

struct WorkerFigures {
  std::uint32_t worker = 0;
  CallFigures figures;  // times are those in the handler
};

struct PoolStatistics {
  std::vector<MethodFigures> methods;  // those that were called, in the order of the pool's table
  std::vector<WorkerFigures> workers;  // those that served
};

}  // namespace slotring

#endif  // SLOTRING_STATISTICS_H_
