#include "tests/budget/ceilings.h"

#include "tests/budget/hot_calls.h"

namespace slotring::testing {
namespace {

// Instructions of a call's median, outside of the kernel's code, with some 3 % to spare. System
// calls and allocations have no line here: there are none.
//
// Who makes a call cheaper lowers its lines: run `tools/budget` and `tools/budget --preset dev`,
// and add 3 %. Who makes it dearer raises them by what they pay for, and says in the commit what
// that buys. Both builds have lines of their own, since the assertions of the development one cost.
constexpr Ceiling kCeilings[] = {
#ifdef NDEBUG
    {kClientCall, 2731, 2},  {kClientClaim, 845, 1}, {kClientWrite, 148, 0},
    {kClientSubmit, 516, 0}, {kClientRead, 756, 1},  {kClientRelease, 215, 0},
    {kSeatCall, 1123, 2},    {kPythonCall, 2721, 2},
#else
    {kClientCall, 2934, 2},  {kClientClaim, 865, 1}, {kClientWrite, 164, 0},
    {kClientSubmit, 557, 0}, {kClientRead, 806, 1},  {kClientRelease, 300, 0},
    {kSeatCall, 1318, 2},    {kPythonCall, 2902, 2},
#endif
};

}  // namespace

std::span<const Ceiling> ceilings() { return kCeilings; }

std::string_view why_no_ceilings() {
#if !defined(__x86_64__)
  return "the ceilings are for x86-64";
#elif defined(__clang__) || __GNUC__ != 12
  return "the ceilings are for g++ 12";
#elif !defined(__OPTIMIZE__)
  return "the ceilings are for optimized code";
#else
  return "";
#endif
}

std::string_view why_no_ceilings_of_python(std::string_view runtime) {
  if (!runtime.starts_with("CPython 3.11.")) return "the ceiling is for CPython 3.11";
  if (std::string_view(SLOTRING_PYTHON_PROGRAM) != "/usr/bin/python3") {
    return "the ceiling is for the system's python3";
  }
  return "";
}

}  // namespace slotring::testing
