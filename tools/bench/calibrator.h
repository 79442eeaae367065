// Measures the machine, not a transport; see calibration.h.

#ifndef SLOTRING_TOOLS_BENCH_CALIBRATOR_H_
#define SLOTRING_TOOLS_BENCH_CALIBRATOR_H_

#include "tools/bench/calibration.h"
#include "tools/bench/placement.h"

namespace slotring::bench {

// Takes some 20 ms. Without a placement the exchange is between separate CPUs. This process is
// bound to a CPU meanwhile. Throws slotring::Exception.
Calibration calibrate(Placement placement);

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_CALIBRATOR_H_
