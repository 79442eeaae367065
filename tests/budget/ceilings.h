// How much a hot call may cost, and why not more.

#ifndef SLOTRING_TESTS_BUDGET_CEILINGS_H_
#define SLOTRING_TESTS_BUDGET_CEILINGS_H_

#include <cstdint>
#include <span>
#include <string_view>

namespace slotring::testing {

struct Ceiling {
  std::string_view part;  // of hot_calls.h
  std::uint32_t instructions;
  std::uint32_t clock_reads;
};

// Those of this build.
std::span<const Ceiling> ceilings();

// What they are for; another compiler makes other code. Empty when this build is that.
std::string_view why_no_ceilings();
// The same of the Python that a worker runs on.
std::string_view why_no_ceilings_of_python(std::string_view runtime);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_BUDGET_CEILINGS_H_
