// A circuit breaker a method, of one Client: calls of a method that keeps failing end at once with
// CIRCUIT_OPEN instead of taking a worker's time.
//
//     closed --`failures` in a row--> open --cool_down--> one probe --it succeeds--> closed
//                                      ^                      |
//                                      '------- it fails -----'
//
// A failure is an error of the categories handler, program, worker, timeout and internal; a call
// that the caller cancelled is none, and errors of other categories (a wrong request, a saturated
// pool) count neither way. Off unless AttachOptions::breaker is given. Leases are not counted.

#ifndef SLOTRING_BREAKER_H_
#define SLOTRING_BREAKER_H_

#include <chrono>
#include <cstdint>

namespace slotring {

struct BreakerOptions {
  std::uint32_t failures = 5;  // in a row, to open it; 1 at least
  std::chrono::nanoseconds cool_down = std::chrono::seconds(10);  // until the probe
};

enum class BreakerState : std::uint8_t {
  kClosed = 0,   // calls go through
  kOpen = 1,     // they end with CIRCUIT_OPEN
  kProbing = 2,  // as kOpen, while one call finds out
};

struct BreakerStatus {
  BreakerState state = BreakerState::kClosed;
  std::uint32_t failures = 0;              // in a row, while closed
  std::chrono::nanoseconds probe_in = {};  // while open: until a call goes through again
};

}  // namespace slotring

#endif  // SLOTRING_BREAKER_H_
