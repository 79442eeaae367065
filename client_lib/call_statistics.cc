#include "client_lib/call_statistics.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "client_lib/shm/memory.h"

namespace slotring::internal {

using layout::CallStats;
using layout::kErrorKinds;
using layout::kLatencyBuckets;
using layout::kStatsMethods;

namespace {

constexpr std::uint32_t kRowsAPage = layout::kPageBytes / sizeof(CallStats);
static_assert(kRowsAPage * sizeof(CallStats) == layout::kPageBytes);
static_assert(std::tuple_size_v<decltype(CallFigures::ended)> == kErrorKinds);

// A sum of blocks, each word copied once.
struct Tally {
  std::array<std::uint64_t, kErrorKinds> ended{};
  std::uint64_t total_ns = 0;
  std::array<std::uint64_t, kLatencyBuckets> latency{};

  // Relaxed: each word is right by itself.
  void add(const CallStats& stats) {
    for (std::uint32_t kind = 0; kind < kErrorKinds; ++kind) {
      ended[kind] += stats.ended[kind].load(std::memory_order_relaxed);
    }
    total_ns += stats.total_ns.load(std::memory_order_relaxed);
    for (std::uint32_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
      latency[bucket] += stats.latency[bucket].load(std::memory_order_relaxed);
    }
  }
  std::uint64_t calls() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : ended) sum += count;
    return sum;
  }
};

// The last bucket has no end. As if its calls were spread evenly around what is their mean when the
// others' took what their buckets say.
std::uint64_t last_bucket_end_ns(const Tally& tally) {
  constexpr std::uint32_t kLast = kLatencyBuckets - 1;
  const auto begin = static_cast<double>(layout::bucket_begin_ns(kLast));
  auto rest = static_cast<double>(tally.total_ns);
  for (std::uint32_t bucket = 0; bucket < kLast; ++bucket) {
    const std::uint64_t twice_middle =
        layout::bucket_begin_ns(bucket) + layout::bucket_begin_ns(bucket + 1);
    rest -= static_cast<double>(tally.latency[bucket]) * static_cast<double>(twice_middle) / 2;
  }
  const double mean = rest / static_cast<double>(std::max<std::uint64_t>(1, tally.latency[kLast]));
  // Any peer may have written the sum.
  constexpr double kYear = 365.0 * 86'400e9;
  return static_cast<std::uint64_t>(std::clamp(2 * mean - begin, begin, kYear));
}

std::uint64_t bucket_end_ns(const Tally& tally, std::uint32_t bucket) {
  if (bucket + 1 < kLatencyBuckets) return layout::bucket_begin_ns(bucket + 1);
  return last_bucket_end_ns(tally);
}

// The time within which `share` of the calls ended, as if those of a bucket were spread evenly.
std::uint64_t percentile_ns(const Tally& tally, double share) {
  std::uint64_t measured = 0;
  for (const std::uint64_t count : tally.latency) measured += count;
  const double rank = share * static_cast<double>(measured);
  double before = 0;
  for (std::uint32_t bucket = 0; bucket < kLatencyBuckets; ++bucket) {
    const auto count = static_cast<double>(tally.latency[bucket]);
    if (count > 0 && before + count >= rank) {
      const auto begin = static_cast<double>(layout::bucket_begin_ns(bucket));
      const auto end = static_cast<double>(bucket_end_ns(tally, bucket));
      return static_cast<std::uint64_t>(begin + (end - begin) * (rank - before) / count);
    }
    before += count;
  }
  return 0;
}

std::uint64_t longest_ns(const Tally& tally) {
  for (std::uint32_t bucket = kLatencyBuckets; bucket-- > 0;) {
    if (tally.latency[bucket] != 0) return bucket_end_ns(tally, bucket);
  }
  return 0;
}

CallFigures figures_of(const Tally& tally) {
  const auto duration = [](std::uint64_t ns) {
    return std::chrono::nanoseconds(static_cast<std::int64_t>(ns));
  };
  CallFigures figures;
  figures.calls = tally.calls();
  figures.ended = tally.ended;
  if (figures.calls != 0) figures.mean = duration(tally.total_ns / figures.calls);
  figures.p50 = duration(percentile_ns(tally, 0.50));
  figures.p90 = duration(percentile_ns(tally, 0.90));
  figures.p99 = duration(percentile_ns(tally, 0.99));
  figures.longest = duration(longest_ns(tally));
  return figures;
}

// Adds the rows of one client's place that have memory.
void add_client(const shm::ControlSegment& segment, std::uint32_t client,
                std::array<Tally, kStatsMethods>& rows) {
  const std::uint64_t pages = segment.client(client).stats_pages.load(std::memory_order_relaxed);
  for (std::uint32_t first = 0; first < kStatsMethods; first += kRowsAPage) {
    if ((pages >> (first / kRowsAPage) & 1) == 0) continue;
    const auto* page = reinterpret_cast<const std::byte*>(&segment.client_stats(client, first));
    // The bit may be a lie, and the memory full.
    if (!shm::fault_in({page, layout::kPageBytes})) continue;
    for (std::uint32_t row = first; row < first + kRowsAPage; ++row) {
      rows[row].add(segment.client_stats(client, row));
    }
  }
}

}  // namespace

void count_call(CallStats& stats, ErrorCategory outcome, std::uint64_t ns) {
  auto kind = static_cast<std::uint32_t>(outcome);
  // A peer may send codes of categories that there are none of.
  if (kind >= kErrorKinds) kind = static_cast<std::uint32_t>(ErrorCategory::kProtocol);
  stats.ended[kind].fetch_add(1, std::memory_order_relaxed);
  stats.total_ns.fetch_add(ns, std::memory_order_relaxed);
  stats.latency[layout::latency_bucket(ns)].fetch_add(1, std::memory_order_relaxed);
}

void CallStatistics::count(std::uint16_t row, ErrorCategory outcome, std::uint64_t ns) {
  const std::uint64_t page = std::uint64_t{1} << (row / kRowsAPage);
  if ((backed_.load(std::memory_order_relaxed) & page) == 0) [[unlikely]] {
    if (!segment_->back_stats(client_, row)) return;
    backed_.fetch_or(page, std::memory_order_relaxed);
  }
  count_call(segment_->client_stats(client_, row), outcome, ns);
}

PoolStatistics read_statistics(const shm::ControlSegment& segment) {
  const layout::Geometry& geometry = segment.geometry();
  std::array<Tally, kStatsMethods> rows;
  for (std::uint32_t client = 0; client < geometry.max_clients; ++client) {
    add_client(segment, client, rows);
  }
  PoolStatistics statistics;
  // Acquire: partner of the supervisor's release after it wrote a method's record.
  const std::uint32_t methods =
      std::min(segment.header().method_count.load(std::memory_order_acquire), kStatsMethods - 1);
  const auto add_method = [&](std::string name, const Tally& row) {
    if (row.calls() != 0) statistics.methods.push_back({std::move(name), figures_of(row)});
  };
  for (std::uint32_t id = 1; id <= methods; ++id) {
    add_method(shm::load_name(segment.method(id)), rows[id]);
  }
  add_method("", rows[0]);
  for (shm::SeatIndex seat = 0; seat < geometry.max_workers; ++seat) {
    Tally tally;
    tally.add(segment.seat_stats(seat));
    if (tally.calls() != 0) statistics.workers.push_back({seat, figures_of(tally)});
  }
  return statistics;
}

}  // namespace slotring::internal
