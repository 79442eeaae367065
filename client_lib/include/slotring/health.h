// Whether a pool's workers answer, asked by a call to each.

#ifndef SLOTRING_HEALTH_H_
#define SLOTRING_HEALTH_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "slotring/error.h"

namespace slotring {

struct WorkerHealth {
  std::uint32_t seat = 0;
  std::uint32_t generation = 0;
  std::optional<Error> error = {};        // none: it answered
  std::chrono::nanoseconds latency = {};  // until it answered or failed, waiting for it included
};

struct PoolHealth {
  // The workers that should serve: ready ones, which were asked, and those that died and have no
  // successor yet. None that starts, leaves as it was told to, or is not wanted now.
  std::vector<WorkerHealth> workers = {};
  // Whether workers will be started when somebody calls: a lazy or elastic pool without any is
  // well.
  bool starts_on_demand = false;

  // Whether there is a worker, or needs to be none, and none has failed.
  bool ok() const {
    return (!workers.empty() || starts_on_demand) &&
           std::none_of(workers.begin(), workers.end(),
                        [](const auto& worker) { return worker.error.has_value(); });
  }
};

}  // namespace slotring

#endif  // SLOTRING_HEALTH_H_
