// Runs the comparison: section by section, every peer at each of its points.
//
// In each round every point of every peer has one turn, in shuffled order, with the machine
// calibrated before and after. Turns that tell nothing (bench/calibration.h) are repeated a few
// times. It measures and never judges: what a ratio may be formed of, the report decides.

#ifndef SLOTRING_TOOLS_PEERS_COMPARISON_H_
#define SLOTRING_TOOLS_PEERS_COMPARISON_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tools/bench/calibration.h"
#include "tools/bench/turn.h"
#include "tools/peers/peer.h"
#include "tools/peers/points.h"

namespace slotring::peers {

struct ComparisonOptions {
  Depth depth = Depth::kUsual;
  std::vector<std::string> only;      // peers' names; empty: all
  std::vector<std::string> sections;  // their names; empty: all of the depth
  double seconds = 0.3;               // a turn, where a point needs no longer one
  int rounds = 0;                     // 0: by the depth
  std::uint64_t seed = 0;             // of the order; 0: a random one
};

struct Sample {
  bench::Calibration before;
  bench::Calibration after;
  bench::TurnResult turn;
  std::string refused;  // why it tells nothing; empty when it does
};

struct PointResult {
  std::string section;
  Point point;
  std::string peer;
  std::vector<Sample> samples;
  std::string failed;  // why there are no more samples
};

struct Comparison {
  ComparisonOptions options;  // with the seed that was used
  std::vector<Peer> peers;    // those that were wanted, the missing ones among them
  std::vector<PointResult> points;
};

// What is under way: `done` of some `all` turns, of which repetitions are not counted.
struct Progress {
  std::string section;
  int round;
  std::string peer;
  std::string point;
  int done;
  int all;
};

// Leaves no process and no file behind, whatever happens. Throws slotring::Exception; CANCELLED on
// SIGINT and SIGTERM, which are caught from here on.
Comparison run_comparison(const ComparisonOptions& options,
                          const std::function<void(const Progress&)>& progress);

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_COMPARISON_H_
