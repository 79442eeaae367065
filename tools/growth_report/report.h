// What was measured, as text and as JSON.

#ifndef SLOTRING_TOOLS_GROWTH_REPORT_REPORT_H_
#define SLOTRING_TOOLS_GROWTH_REPORT_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tools/growth_report/series.h"

namespace slotring::growth {

std::string report_text(const std::vector<Series>& all, std::uint64_t seed);
nlohmann::json report_json(const std::vector<Series>& all, std::uint64_t seed);

}  // namespace slotring::growth

#endif  // SLOTRING_TOOLS_GROWTH_REPORT_REPORT_H_
