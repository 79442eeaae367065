#include "tools/peers/points.h"

#include <algorithm>
#include <utility>

namespace slotring::peers {

namespace {

using bench::Job;
using bench::Placement;

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;

std::string name_of(std::size_t bytes) {
  if (bytes >= kMiB) return std::to_string(bytes / kMiB) + " MiB";
  if (bytes >= kKiB) return std::to_string(bytes / kKiB) + " KiB";
  return std::to_string(bytes) + " B";
}

// What the targets are about.
Section targets(int rounds, double seconds) {
  return {"targets",
          {{.name = "hot",
            .placement = Placement::kSeparate,
            .seconds = std::max(0.6, seconds)},  // for ten thousand calls of most peers
           {.name = "one core", .placement = Placement::kSame, .seconds = seconds},
           {.name = "large",
            .workers = 2,
            .clients = 2,
            .payload_bytes = kMiB,
            .seconds = std::max(0.5, seconds)},
           {.name = "cpu", .workers = 2, .clients = 2, .seconds = seconds}},
          rounds};
}

// `name` and what it says: how the processes are placed.
Section payloads(const std::string& name, int workers, Placement placement, int rounds,
                 double seconds) {
  Section section{name, {}, rounds};
  for (const std::size_t bytes : {std::size_t{64}, 4 * kKiB, 64 * kKiB, kMiB, 16 * kMiB}) {
    section.points.push_back({.name = name_of(bytes),
                              .workers = workers,
                              .clients = workers,
                              .payload_bytes = bytes,
                              .placement = placement,
                              .seconds = bytes > kMiB ? std::max(1.0, seconds) : seconds});
  }
  return section;
}

Section grid(int workers, int rounds, double seconds) {
  Section section{"grid " + std::to_string(workers), {}, rounds};
  for (const int times : {1, 2, 4}) {
    const int clients = workers * times;
    section.points.push_back({.name = std::to_string(workers) + "x" + std::to_string(clients),
                              .workers = workers,
                              .clients = clients,
                              .seconds = seconds});
  }
  return section;
}

Section surroundings(int rounds, double seconds) {
  const int cpus = static_cast<int>(bench::usable_cpus().size());
  return {"surroundings",
          {{.name = "free", .seconds = seconds},
           {.name = "busy", .busy_processes = cpus, .seconds = std::max(0.5, seconds)}},
          rounds};
}

Section sparse(int rounds, double seconds) {
  constexpr std::pair<const char*, double> kGaps[] = {
      {"0.1 ms", 100}, {"1 ms", 1000}, {"10 ms", 10'000}};
  Section section{"sparse", {}, rounds};
  for (const auto& [name, gap_us] : kGaps) {
    section.points.push_back({.name = name,
                              .placement = Placement::kSeparate,
                              .gap_us = gap_us,
                              // Some hundred calls, if possible.
                              .seconds = std::max(seconds, std::min(1.0, gap_us * 200 / 1e6))});
  }
  return section;
}

Section digits(int rounds, double seconds) {
  return {"digits",
          {{.name = "1x1",
            .payload_bytes = bench::kDigitsRequestBytes,
            .placement = Placement::kSeparate,
            .job = Job::kDigits,
            .seconds = seconds},
           {.name = "2x4",
            .workers = 2,
            .clients = 4,
            .payload_bytes = bench::kDigitsRequestBytes,
            .job = Job::kDigits,
            .seconds = seconds}},
          rounds};
}

}  // namespace

std::vector<Section> sections(Depth depth, double seconds) {
  if (depth == Depth::kQuick) return {targets(3, seconds)};
  const bool full = depth == Depth::kFull;
  const int rounds = full ? 7 : 3;
  std::vector<Section> all = {targets(full ? 11 : 5, seconds),
                              payloads("payload", 1, Placement::kSeparate, rounds, seconds)};
  if (full) {
    all.push_back(payloads("payload one core", 1, Placement::kSame, rounds, seconds));
    all.push_back(payloads("payload 2x2", 2, Placement::kFree, rounds, seconds));
  }
  for (const int workers : {1, 2, 4}) all.push_back(grid(workers, rounds, seconds));
  all.push_back(surroundings(rounds, seconds));
  all.push_back(sparse(rounds, seconds));
  all.push_back(digits(rounds, seconds));
  return all;
}

}  // namespace slotring::peers
