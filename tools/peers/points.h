// What the comparison measures: points in sections. A section's peers are measured by turns.

#ifndef SLOTRING_TOOLS_PEERS_POINTS_H_
#define SLOTRING_TOOLS_PEERS_POINTS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "tools/bench/job.h"
#include "tools/bench/placement.h"

namespace slotring::peers {

// The same for every peer.
struct Point {
  std::string name;  // within its section
  int workers = 1;
  int clients = 1;
  std::size_t payload_bytes = 64;
  bench::Placement placement = bench::Placement::kFree;
  bench::Job job = bench::Job::kEcho;
  double gap_us = 0;
  int busy_processes = 0;
  double seconds = 0.3;
};

struct Section {
  std::string name;
  std::vector<Point> points;
  int rounds = 3;
};

// From the least, a minute or two, to all there is.
enum class Depth { kQuick, kUsual, kFull };

// `seconds`: a turn's, where a point needs no longer one.
std::vector<Section> sections(Depth depth, double seconds);

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_POINTS_H_
