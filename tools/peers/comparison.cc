#include "tools/peers/comparison.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <tuple>
#include <utility>

#include "slotring/error.h"
#include "tools/bench/calibrator.h"
#include "tools/bench/child_process.h"
#include "tools/bench/scratch_folder.h"
#include "tools/peers/digits_questions.h"

namespace slotring::peers {

namespace {

using bench::Job;
using bench::Placement;

template <class Named>
bool is_wanted(const std::vector<std::string>& only, const Named& named) {
  return only.empty() || std::ranges::find(only, named.name) != only.end();
}

PeerShape shape_of(const Point& point) {
  return {.folder = {},
          .name = {},
          .workers = point.workers,
          .clients = point.clients,
          .payload_bytes = point.payload_bytes,
          .job = point.job,
          .shares_a_cpu = point.placement == Placement::kSame || bench::usable_cpus().size() < 2};
}

// A section's transports: each is started once, serves the points of one shape, and sleeps between.
class Transports {
 public:
  explicit Transports(const Section& section) {
    for (const Point& point : section.points) {
      std::size_t& bytes = largest_[key_of("", point, 0)];
      bytes = std::max(bytes, point.payload_bytes);
    }
  }

  bench::Transport& of(const Peer& peer, const Point& point) {
    std::unique_ptr<bench::Transport>& transport = transports_[key_of(peer, point)];
    if (!transport) {
      PeerShape shape = shape_of(point);
      shape.folder = folder_.path();
      shape.name = peer.name + "-" + std::to_string(made_++);
      if (!peer.one_size) shape.payload_bytes = largest_[key_of("", point, 0)];
      transport = peer.make(shape);
    }
    return *transport;
  }

  // Ends one that failed; the next point that needs it starts another.
  void drop(const Peer& peer, const Point& point) { transports_.erase(key_of(peer, point)); }

 private:
  using Key = std::tuple<std::string, int, int, Job, bool, std::size_t>;

  static Key key_of(const Peer& peer, const Point& point) {
    return key_of(peer.name, point, peer.one_size ? point.payload_bytes : 0);
  }
  static Key key_of(const std::string& peer, const Point& point, std::size_t bytes) {
    return {peer, point.workers, point.clients, point.job, shape_of(point).shares_a_cpu, bytes};
  }

  bench::ScratchFolder folder_;
  std::map<Key, std::size_t> largest_;
  std::map<Key, std::unique_ptr<bench::Transport>> transports_;
  int made_ = 0;
};

bench::TurnShape turn_of(const Point& point, const bench::Questions* questions) {
  return {.clients = point.clients,
          .payload_bytes = point.payload_bytes,
          .seconds = point.seconds,
          .placement = point.placement,
          .questions = point.job == Job::kDigits ? questions : nullptr,
          .gap_us = point.gap_us,
          .busy_processes = point.busy_processes};
}

class Runner {
 public:
  Runner(Comparison& result, const std::function<void(const Progress&)>& progress)
      : result_(result), progress_(progress), random_(result.options.seed) {}

  void run() {
    std::vector<Section> chosen;
    for (Section& section : sections(result_.options.depth, result_.options.seconds)) {
      if (!is_wanted(result_.options.sections, section)) continue;
      if (result_.options.rounds > 0) section.rounds = result_.options.rounds;
      all_ += section.rounds * static_cast<int>(cells_of(section).size());
      chosen.push_back(std::move(section));
    }
    for (const Section& section : chosen) run(section);
  }

 private:
  // A point of one peer; its result is number `result` of all.
  struct Cell {
    const Peer* peer;
    const Point* point;
    std::size_t result = 0;
  };

  std::vector<Cell> cells_of(const Section& section) const {
    std::vector<Cell> cells;
    for (const Peer& peer : result_.peers) {
      if (!peer.why_missing.empty()) continue;
      for (const Point& point : section.points) {
        if (!peer.fits || peer.fits(shape_of(point))) cells.push_back({&peer, &point});
      }
    }
    return cells;
  }

  void run(const Section& section) {
    std::vector<Cell> cells = cells_of(section);
    for (Cell& cell : cells) {
      cell.result = result_.points.size();
      result_.points.push_back({section.name, *cell.point, cell.peer->name, {}, ""});
    }
    Transports transports(section);
    for (int round = 0; round < section.rounds; ++round) {
      std::ranges::shuffle(cells, random_);
      for (const Cell& cell : cells) {
        progress_({section.name, round, cell.peer->name, cell.point->name, done_++, all_});
        measure(cell, transports);
      }
    }
    // Half as many again, for those that tell nothing yet.
    for (int round = section.rounds; round < section.rounds + (section.rounds + 1) / 2; ++round) {
      std::ranges::shuffle(cells, random_);
      for (const Cell& cell : cells) {
        if (valid_samples(cell) >= section.rounds) continue;
        progress_({section.name, round, cell.peer->name, cell.point->name, done_, all_});
        measure(cell, transports);
      }
    }
  }

  int valid_samples(const Cell& cell) const {
    return static_cast<int>(
        std::ranges::count_if(result_.points[cell.result].samples,
                              [](const Sample& sample) { return sample.refused.empty(); }));
  }

  void measure(const Cell& cell, Transports& transports) {
    PointResult& result = result_.points[cell.result];
    if (!result.failed.empty()) return;
    try {
      bench::Transport& transport = transports.of(*cell.peer, *cell.point);
      Sample sample;
      sample.before = bench::calibrate(cell.point->placement);
      sample.turn = run_turn(transport, turn_of(*cell.point, questions_of(*cell.point)));
      sample.after = bench::calibrate(cell.point->placement);
      sample.refused =
          bench::why_refused(sample.before, sample.after, sample.turn.others_cpu_share);
      result.samples.push_back(std::move(sample));
    } catch (const std::exception& failure) {
      bench::check_interrupted();
      result.failed = failure.what();
      transports.drop(*cell.peer, *cell.point);
    }
  }

  const bench::Questions* questions_of(const Point& point) {
    if (point.job != Job::kDigits) return nullptr;
    if (!questions_)
      questions_ = std::make_unique<bench::Questions>(digits_questions(folder_.path()));
    return questions_.get();
  }

  Comparison& result_;
  const std::function<void(const Progress&)>& progress_;
  std::mt19937_64 random_;
  bench::ScratchFolder folder_;
  std::unique_ptr<bench::Questions> questions_;
  int done_ = 0;
  int all_ = 0;
};

}  // namespace

Comparison run_comparison(const ComparisonOptions& options,
                          const std::function<void(const Progress&)>& progress) {
  bench::remember_signals();
  bench::usable_cpus();  // before anything is placed
  Comparison result{options, {}, {}};
  if (result.options.seed == 0) result.options.seed = std::random_device{}();
  for (Peer& peer : all_peers()) {
    if (is_wanted(options.only, peer)) result.peers.push_back(std::move(peer));
  }
  Runner(result, progress).run();
  return result;
}

}  // namespace slotring::peers
