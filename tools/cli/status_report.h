// A pool's view, as tables for people and as JSON for programs.

#ifndef SLOTRING_TOOLS_CLI_STATUS_REPORT_H_
#define SLOTRING_TOOLS_CLI_STATUS_REPORT_H_

#include <string>

#include <nlohmann/json.hpp>

#include "tools/cli/pool_view.h"

namespace slotring::cli {

// Free slots are only counted, unless `all_slots`.
std::string status_text(const PoolView& pool, bool all_slots);

nlohmann::json status_json(const PoolView& pool);

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_STATUS_REPORT_H_
