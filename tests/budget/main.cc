// slotring_budget: counts the instructions of hot calls, and fails where they are more than the
// ceilings allow (ceilings.cc), or where there is a system call or an allocation among them.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include "tests/budget/ceilings.h"
#include "tests/budget/hot_calls.h"

namespace slotring::testing {
namespace {

constexpr int kOver = 1;
constexpr int kFailed = 2;
constexpr int kSkipped = 77;  // what ctest takes for a skipped test

template <class Field>
std::vector<std::uint32_t> sorted(const Measured& measured, Field field) {
  std::vector<std::uint32_t> values;
  for (const Cost& cost : measured.calls) values.push_back(cost.*field);
  std::sort(values.begin(), values.end());
  return values;
}

// Instructions are judged by the median: one call in many has to collect garbage, or to look
// around. So is the rest where CPython runs; C++ has no such call here.
struct Summary {
  explicit Summary(const Measured& measured) : part(measured.part) {
    const auto middle = [&](auto field) {
      return sorted(measured, field)[measured.calls.size() / 2];
    };
    instructions = middle(&Cost::instructions);
    least = sorted(measured, &Cost::instructions).front();
    most = sorted(measured, &Cost::instructions).back();
    clock_reads = middle(&Cost::clock_reads);
    const bool python = part == kPythonCall;
    const auto rest = [&](auto field) {
      return python ? middle(field) : sorted(measured, field).back();
    };
    system_calls = rest(&Cost::system_calls);
    allocations = rest(&Cost::allocations);
  }

  std::string_view part;
  std::uint32_t instructions = 0;
  std::uint32_t least = 0;
  std::uint32_t most = 0;
  std::uint32_t clock_reads = 0;
  std::uint32_t system_calls = 0;
  std::uint32_t allocations = 0;
};

const Ceiling* ceiling_of(std::string_view part) {
  for (const Ceiling& ceiling : ceilings()) {
    if (ceiling.part == part) return &ceiling;
  }
  return nullptr;
}

std::string verdict(const Summary& found) {
  const Ceiling* ceiling = ceiling_of(found.part);
  if (found.system_calls > 0) return "A SYSTEM CALL";
  if (found.allocations > 0) return "AN ALLOCATION";
  if (ceiling == nullptr) return "NO CEILING";
  if (found.clock_reads > ceiling->clock_reads) return "THE CLOCK";
  if (found.instructions > ceiling->instructions) return "OVER";
  return "";
}

void print_titles() {
  std::printf("%-16s %13s %8s %14s %6s %13s %12s\n", "64 bytes, hot", "instructions", "ceiling",
              "range", "clock", "system calls", "allocations");
}

// Whether it is within its ceiling.
bool report(const Measured& measured) {
  const Summary found(measured);
  const Ceiling* ceiling = ceiling_of(found.part);
  const std::string why = verdict(found);
  const std::string range = std::to_string(found.least) + "-" + std::to_string(found.most);
  std::printf("%-16.*s %13u %8u %14s %6u %13u %12u %s\n", static_cast<int>(found.part.size()),
              found.part.data(), found.instructions, ceiling == nullptr ? 0 : ceiling->instructions,
              range.c_str(), found.clock_reads, found.system_calls, found.allocations, why.c_str());
  std::fflush(stdout);
  return why.empty();
}

bool report(const std::vector<Measured>& parts) {
  bool within = true;
  for (const Measured& part : parts) within = report(part) && within;
  return within;
}

int skipped(std::string_view why) {
  std::printf("SKIPPED, NOTHING IS JUDGED: %.*s\n", static_cast<int>(why.size()), why.data());
  return kSkipped;
}

int judge_native(const std::vector<Measured>& parts) {
  print_titles();
  const bool within = report(parts);
  if (!why_no_ceilings().empty()) return skipped(why_no_ceilings());
  return within ? 0 : kOver;
}

int judge_python() {
  std::string runtime;
  const std::vector<Measured> parts = measure_python(runtime);
  print_titles();
  const bool within = report(parts);
  for (const std::string_view why : {why_no_ceilings(), why_no_ceilings_of_python(runtime)}) {
    if (!why.empty()) return skipped(why);
  }
  return within ? 0 : kOver;
}

// One more of each thing must be noticed.
int try_canaries() {
  struct Canary {
    Waste waste;
    const char* verdict;
  };
  constexpr Canary kCanaries[] = {{Waste::kInstructions, "OVER"},
                                  {Waste::kSystemCall, "A SYSTEM CALL"},
                                  {Waste::kAllocation, "AN ALLOCATION"}};
  if (!why_no_ceilings().empty()) return skipped(why_no_ceilings());
  bool caught = true;
  print_titles();
  for (const Canary& canary : kCanaries) {
    const Measured call = measure_client(canary.waste).front();
    (void)report(call);
    caught = caught && verdict(Summary(call)) == canary.verdict;
  }
  std::puts(caught ? "every canary was caught"
                   : "A CANARY WAS NOT CAUGHT: where a call has become cheaper, lower its ceiling");
  return caught ? kOver : kFailed;
}

int run(const std::string& what) {
  if (!SteppedProcess::permitted()) {
    return skipped("this process may not trace its children (ptrace)");
  }
  if (what == "canary") return try_canaries();
  int worst = 0;
  if (what == "all" || what == "client") worst = std::max(worst, judge_native(measure_client()));
  if (what == "all" || what == "seat") worst = std::max(worst, judge_native(measure_seat()));
  if (what == "all" || what == "python") worst = std::max(worst, judge_python());
  return worst;
}

}  // namespace
}  // namespace slotring::testing

int main(int argc, char** argv) {
  std::string what = "all";
  CLI::App app("Counts the instructions of hot calls, and holds them against their ceilings.");
  app.add_option("what", what, "client, seat, python, all, or canary: waste that must be noticed")
      ->check(CLI::IsMember({"client", "seat", "python", "all", "canary"}));
  CLI11_PARSE(app, argc, argv);
  try {
    return slotring::testing::run(what);
  } catch (const std::exception& failure) {
    std::printf("FAILED: %s\n", failure.what());
    return slotring::testing::kFailed;
  }
}
