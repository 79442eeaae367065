// How often each duration occurred, to better than half a percent, in a fixed size, so that a
// process can count into shared memory and many counts can be added up.
//
// Log-linear buckets: durations below 512 ns have a bucket each; every further power of two is cut
// into 256 equal parts. Source: G. Tene, HdrHistogram, http://hdrhistogram.org.

#ifndef SLOTRING_TOOLS_BENCH_LATENCY_HISTOGRAM_H_
#define SLOTRING_TOOLS_BENCH_LATENCY_HISTOGRAM_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace slotring::bench {

class LatencyHistogram {
 public:
  void record(std::uint64_t nanoseconds) {
    ++counts_[bucket_of(nanoseconds)];
    ++total_;
  }
  void add(const LatencyHistogram& other);

  std::uint64_t total() const { return total_; }
  // The duration that a share of `quantile` (0 to 1) of all did not exceed: the middle of its
  // bucket; 0 when there are none.
  double quantile_ns(double quantile) const;

 private:
  static constexpr int kPartBits = 8;
  static constexpr std::uint64_t kParts = std::uint64_t{1} << kPartBits;
  static constexpr int kMaxBits = 40;  // durations of 18 minutes and more share the last bucket
  static constexpr std::size_t kBuckets = (kMaxBits - kPartBits + 1) * kParts;

  static std::size_t bucket_of(std::uint64_t nanoseconds) {
    if (nanoseconds >> kMaxBits != 0) return kBuckets - 1;
    const int bits = static_cast<int>(std::bit_width(nanoseconds));
    const int shift = bits <= kPartBits + 1 ? 0 : bits - kPartBits - 1;
    return static_cast<std::size_t>(shift) * kParts + (nanoseconds >> shift);
  }
  static double middle_of(std::size_t bucket);

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_LATENCY_HISTOGRAM_H_
