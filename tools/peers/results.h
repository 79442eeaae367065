// The comparison's results as JSON, for python/report.py.

#ifndef SLOTRING_TOOLS_PEERS_RESULTS_H_
#define SLOTRING_TOOLS_PEERS_RESULTS_H_

#include <nlohmann/json.hpp>

#include "tools/peers/comparison.h"

namespace slotring::peers {

nlohmann::json results_json(const Comparison& comparison);

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_RESULTS_H_
