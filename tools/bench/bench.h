// `slotring bench`: compares Slotring with the least and with the usual, in interleaved rounds.
//
// In each round every variant has one short turn, in shuffled order, so that a machine that slows
// down or is shared slows all of them. Ratios are formed within a round; reported is their median.
// It measures and reports; it never judges.

#ifndef SLOTRING_TOOLS_BENCH_BENCH_H_
#define SLOTRING_TOOLS_BENCH_BENCH_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/bench/placement.h"
#include "tools/bench/turn.h"

namespace slotring::bench {

struct BenchOptions {
  std::vector<std::string> only;  // variants' names; empty: all
  int rounds = 7;
  double seconds = 0.5;  // a turn
  std::size_t payload_bytes = 64;
  Placement placement = Placement::kSeparate;  // of the one-to-one variants
  std::uint64_t seed = 0;                      // of the order; 0: a random one
  std::string supervisor;                      // path; empty: to be found
};

struct VariantResult {
  std::string name;
  std::string description;
  std::vector<TurnResult> rounds;
};

// A variant that was wanted and cannot run here.
struct SkippedVariant {
  std::string name;
  std::string reason;
};

// value = above / below, a round at a time.
struct RatioResult {
  std::string name;
  std::vector<double> rounds;
};

struct BenchResult {
  BenchOptions options;  // with the seed that was used
  std::string placement_note;
  double clock_ns = 0;
  std::vector<VariantResult> variants;
  std::vector<SkippedVariant> skipped;
  std::vector<RatioResult> ratios;
};

// The names that BenchOptions::only may hold.
std::vector<std::string> variant_names();

// `progress(done, all, what)` is called before each turn. Leaves no process and no file behind,
// whatever happens. Throws slotring::Exception; CANCELLED on SIGINT and SIGTERM, which are caught
// from here on.
BenchResult run_bench(const BenchOptions& options,
                      const std::function<void(int, int, const std::string&)>& progress);

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BENCH_H_
