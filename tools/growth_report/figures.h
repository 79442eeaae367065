// What is measured. Each of these prepares all that its figures need, for all sizes at once.
//
// Errors are thrown as slotring::Exception.

#ifndef SLOTRING_TOOLS_GROWTH_REPORT_FIGURES_H_
#define SLOTRING_TOOLS_GROWTH_REPORT_FIGURES_H_

#include <string>
#include <vector>

#include "tools/growth_report/series.h"

namespace slotring::growth {

// Where the real pools have their files, and the program that serves them.
struct RealPools {
  std::string folder;
  std::string supervisor;
};

// Claims and calls with 1 to 256 workers, simulated.
std::vector<Series> claims_by_workers();
// Claims with 1 to 64 client processes at it.
std::vector<Series> claims_by_claimers();
// Claims and wakes with 1 to 10,000 callers in line, simulated.
std::vector<Series> claims_by_waiters();
// Calls, claims and attaching beside 1 to 64 attached client processes.
std::vector<Series> calls_by_clients(const RealPools& real);
// From a client's death to its last slot's being free: real processes, and the reaper's code alone.
std::vector<Series> deaths_of_clients(const RealPools& real);
// How long workers take to be ready, and what they and slots take of memory. Started as the
// configuration's `start` says, in each of the ways that this supervisor knows.
std::vector<Series> starts_of_workers(const RealPools& real);
std::vector<Series> memory_of_workers(const RealPools& real);

}  // namespace slotring::growth

#endif  // SLOTRING_TOOLS_GROWTH_REPORT_FIGURES_H_
