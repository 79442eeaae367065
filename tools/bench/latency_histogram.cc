#include "tools/bench/latency_histogram.h"

#include <algorithm>
#include <cmath>

namespace slotring::bench {

void LatencyHistogram::add(const LatencyHistogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  total_ += other.total_;
}

double LatencyHistogram::quantile_ns(double quantile) const {
  if (total_ == 0) return 0;
  const auto rank = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(total_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= std::max<std::uint64_t>(rank, 1)) return middle_of(i);
  }
  return middle_of(kBuckets - 1);
}

double LatencyHistogram::middle_of(std::size_t bucket) {
  if (bucket < 2 * kParts) return static_cast<double>(bucket);
  const std::size_t shift = bucket / kParts - 1;
  const double width = std::ldexp(1.0, static_cast<int>(shift));
  return (static_cast<double>(bucket - shift * kParts) + 0.5) * width;
}

}  // namespace slotring::bench
