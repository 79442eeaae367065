// The benchmark's result, as tables for people and as JSON for programs.

#ifndef SLOTRING_TOOLS_BENCH_BENCH_REPORT_H_
#define SLOTRING_TOOLS_BENCH_BENCH_REPORT_H_

#include <string>

#include <nlohmann/json.hpp>

#include "tools/bench/bench.h"

namespace slotring::bench {

std::string report_text(const BenchResult& result);
nlohmann::json report_json(const BenchResult& result);
// One turn's figures.
nlohmann::json turn_json(const TurnResult& turn);

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BENCH_REPORT_H_
