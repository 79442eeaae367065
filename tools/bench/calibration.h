// When two measurements may be compared: the machine was the same for both.
//
// Around each turn the machine is measured by something that no transport takes part in. A virtual
// CPU moves, its clock changes, its neighbours work: then the same exchange takes several times as
// long, and a ratio of two turns says more about that than about them.

#ifndef SLOTRING_TOOLS_BENCH_CALIBRATION_H_
#define SLOTRING_TOOLS_BENCH_CALIBRATION_H_

#include <algorithm>
#include <string>

namespace slotring::bench {

struct Calibration {
  double exchange_ns = 0;  // p50 of a bare exchange of 64 bytes, placed as the turn
  double work_ns = 0;      // p50 of a fixed piece of computing
};

// How far apart two may be, as a share of the smaller. Where nothing else runs they differ by some
// 15 % from minute to minute; the regimes of a virtual CPU are a factor of five apart.
inline constexpr double kCalibrationBound = 0.25;
// How much of the CPUs other programs may take during a turn.
inline constexpr double kOthersBound = 0.10;

inline double apart(double a, double b) {
  const auto [less, more] = std::minmax(a, b);
  return less <= 0 ? 1e9 : more / less - 1;
}

inline bool agree(const Calibration& a, const Calibration& b) {
  return apart(a.exchange_ns, b.exchange_ns) <= kCalibrationBound &&
         apart(a.work_ns, b.work_ns) <= kCalibrationBound;
}

// Why a turn with these calibrations around it tells nothing; empty when it does.
inline std::string why_refused(const Calibration& before, const Calibration& after,
                               double others_cpu_share) {
  if (!agree(before, after)) return "the machine changed meanwhile";
  if (others_cpu_share > kOthersBound) return "other programs took the CPUs";
  return "";
}

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_CALIBRATION_H_
