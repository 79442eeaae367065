// One turn: some client processes call one transport for a while, and are measured.

#ifndef SLOTRING_TOOLS_BENCH_TURN_H_
#define SLOTRING_TOOLS_BENCH_TURN_H_

#include <cstddef>
#include <cstdint>

#include "tools/bench/placement.h"
#include "tools/bench/questions.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

struct TurnShape {
  int clients = 1;
  std::size_t payload_bytes = 64;  // at least 8: a request begins with its number
  double seconds = 0.5;            // measured; a warm-up comes before
  Placement placement = Placement::kFree;
  const Questions* questions = nullptr;  // asked in the place of echoes of `payload_bytes`
  double gap_us = 0;                     // that a client sleeps between a reply and a request
  int busy_processes = 0;                // that compute all the while, not counted

  std::uint64_t gap_ns() const { return static_cast<std::uint64_t>(gap_us * 1e3); }
};

struct TurnResult {
  double p50_ns = 0;
  double p90_ns = 0;
  double p99_ns = 0;
  double p999_ns = 0;
  double p9999_ns = 0;
  std::uint64_t calls = 0;
  double calls_per_second = 0;
  double cpu_us_per_call = 0;  // of all clients and servers
  double page_faults_per_call = 0;
  double wake_ups_per_call = 0;  // of all clients and servers
  double fairness = 0;           // calls of the slowest client, divided by those of the fastest
  double others_cpu_share = 0;   // of all CPUs: what programs outside of the turn took
};

// Each client is a process that sends a request when it has the reply to the one before, and checks
// the reply. Every duration includes one reading of the clock. A call that begins in time counts
// whenever it ends.
// Throws slotring::Exception when a call fails or a reply is wrong, or when interrupted.
TurnResult run_turn(Transport& transport, const TurnShape& shape);

// What one reading of the clock takes.
double clock_cost_ns();

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_TURN_H_
