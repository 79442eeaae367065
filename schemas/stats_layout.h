// What is counted of calls, in shared memory: by clients of each method, by workers of their own
// calls, and of each session. A block of a client's or a worker's has one process that writes it,
// so counting costs no cache line that another process holds; relaxed, each word is right by
// itself.
//
// A client's place keeps its figures when the client goes and the next one adds to them: sums over
// all places are the pool's, and nothing has to be carried over when somebody dies.

#ifndef SLOTRING_SCHEMAS_STATS_LAYOUT_H_
#define SLOTRING_SCHEMAS_STATS_LAYOUT_H_

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "schemas/area_layout.h"

namespace slotring::layout {

// Half octaves from 256 ns to a second: the first bucket is what was shorter, the last what was
// longer.
inline constexpr std::uint32_t kLatencyBuckets = 46;
inline constexpr std::uint32_t kErrorKinds = 16;  // indexed by ErrorCategory; 0: a reply
// A client counts methods with ids below this one by one; row 0 takes all others.
inline constexpr std::uint32_t kStatsMethods = 128;

constexpr std::uint32_t latency_bucket(std::uint64_t ns) {
  if (ns < 256) return 0;
  const auto octave = static_cast<std::uint32_t>(std::bit_width(ns)) - 1;
  const std::uint32_t bucket =
      1 + 2 * (octave - 8) + static_cast<std::uint32_t>(ns >> (octave - 1) & 1);
  return bucket < kLatencyBuckets ? bucket : kLatencyBuckets - 1;
}
// What the shortest call of a bucket took, at least.
constexpr std::uint64_t bucket_begin_ns(std::uint32_t bucket) {
  if (bucket == 0) return 0;
  const std::uint32_t octave = 8 + (bucket - 1) / 2;
  return (std::uint64_t{2} + (bucket - 1) % 2) << (octave - 1);
}

struct CallStats {
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> ended[kErrorKinds];  // by outcome
  std::atomic<std::uint64_t> total_ns;
  std::atomic<std::uint64_t> reserved;
  std::atomic<std::uint64_t> latency[kLatencyBuckets];
};

static_assert(sizeof(CallStats) == 512);
static_assert(offsetof(CallStats, total_ns) == 128);
static_assert(offsetof(CallStats, latency) == 144);
static_assert(latency_bucket(255) == 0 && latency_bucket(256) == 1 && latency_bucket(384) == 2);
static_assert(bucket_begin_ns(1) == 256 && bucket_begin_ns(2) == 384);
static_assert(latency_bucket(bucket_begin_ns(45)) == 45);

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_STATS_LAYOUT_H_
