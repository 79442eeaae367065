// A hot call, 64 bytes each way, single-stepped at one end while this process plays the other one
// between two of its instructions: so nobody ever waits, and every call takes the same way.

#ifndef SLOTRING_TESTS_BUDGET_HOT_CALLS_H_
#define SLOTRING_TESTS_BUDGET_HOT_CALLS_H_

#include <string>
#include <string_view>
#include <vector>

#include "tests/budget/instruction_meter.h"

namespace slotring::testing {

// What is put into each client's call, for a budget that must notice.
enum class Waste { kNone, kInstructions, kSystemCall, kAllocation };
// Some 5 % of a call.
inline constexpr std::uint32_t kWastedInstructions = 130;

// A part of a call, and what it cost each time.
struct Measured {
  std::string_view part;
  std::vector<Cost> calls = {};
};

inline constexpr std::string_view kClientCall = "client: call";
inline constexpr std::string_view kClientClaim = "client: claim";
inline constexpr std::string_view kClientWrite = "client: write";
inline constexpr std::string_view kClientSubmit = "client: submit";
inline constexpr std::string_view kClientRead = "client: read";
inline constexpr std::string_view kClientRelease = "client: release";
inline constexpr std::string_view kSeatCall = "seat: call";
inline constexpr std::string_view kPythonCall = "python: call";

// A whole Client::call(), and, without waste, the steps of a Lease one by one.
std::vector<Measured> measure_client(Waste waste = Waste::kNone);

// A WorkerSeat's try_next(), an echo, reply().
std::vector<Measured> measure_seat();

// A real worker with a handler that returns its argument: from the start of a call to the start of
// the next one. `runtime`: what it says that it runs on.
std::vector<Measured> measure_python(std::string& runtime);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_BUDGET_HOT_CALLS_H_
