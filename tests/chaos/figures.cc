#include "tests/chaos/figures.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

namespace slotring::chaos {

namespace {

using Named = std::vector<std::pair<const char*, std::uint64_t>>;

Named must_be_zero(const Figures& f) {
  return {{"wrong replies", f.wrong_replies},
          {"unexpected errors", f.unexpected_errors},
          {"calls without outcome", f.without_outcome},
          {"hung calls", f.hung_calls},
          {"hung clients", f.hung_clients},
          {"failed clients", f.failed_clients},
          {"lost slots", f.lost_slots},
          {"unclaimable slots", f.unclaimable_slots},
          {"callers left waiting", f.left_waiting},
          {"workers not adopted", f.lost_workers},
          {"failed supervisors", f.failed_supervisors},
          {"processes left over", f.left_processes}};
}

std::string row(const std::string& name, std::uint64_t value, const char* mark = "") {
  char line[96];
  std::snprintf(line, sizeof(line), "  %-28s %12llu %s\n", name.c_str(),
                static_cast<unsigned long long>(value), mark);
  return line;
}

std::string seconds_row(const char* name, double seconds) {
  char line[96];
  std::snprintf(line, sizeof(line), "  %-28s %12.2f s\n", name, seconds);
  return line;
}

constexpr const char* kRoleNames[kRoles] = {"clients", "workers", "supervisors"};

}  // namespace

bool Figures::good() const {
  const Named zeros = must_be_zero(*this);
  return std::all_of(zeros.begin(), zeros.end(), [](const auto& zero) { return zero.second == 0; });
}

std::string Figures::text(const Options& options) const {
  std::string text = "chaos with seed " + std::to_string(options.seed) + "\n";
  text += seconds_row("time", seconds);
  text += row("calls", calls);
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    text += row("  " + std::string(kOutcomeNames[i]), outcomes[i]);
  }
  text += row("  cut off with their client", cut_off);
  text += row("claims held and dropped", held);
  for (std::size_t role = 0; role < kRoles; ++role) {
    text += row(std::string(kRoleNames[role]) + " killed", kills[role]);
    text += row(std::string(kRoleNames[role]) + " stopped", stops[role]);
  }
  text += row("supervisors started", supervisors);
  text += row("pools made anew", pools_made_anew);
  text += seconds_row("longest adoption", longest_adoption_s);
  text += seconds_row("without supervisor", without_supervisor_s);
  text += row("  replies meanwhile", replies_without_supervisor);
  text += seconds_row("latest return of a call", latest_s);
  text += "must be zero:\n";
  for (const auto& [name, value] : must_be_zero(*this)) {
    text += row(name, value, value == 0 ? "" : "<==");
  }
  for (const std::string& remark : remarks) text += remark + "\n";
  text += good() ? "passed\n" : "FAILED; to repeat: " + command_line(options) + "\n";
  return text;
}

std::string Figures::json(const Options& options) const {
  nlohmann::ordered_json object = {{"seed", options.seed}, {"seconds", seconds}, {"calls", calls}};
  for (std::size_t i = 0; i < kOutcomes; ++i) {
    object["outcomes"][std::string(kOutcomeNames[i])] = outcomes[i];
  }
  object["outcomes"]["cut off"] = cut_off;
  object["held"] = held;
  for (std::size_t role = 0; role < kRoles; ++role) {
    object["kills"][kRoleNames[role]] = kills[role];
    object["stops"][kRoleNames[role]] = stops[role];
  }
  object["supervisors"] = supervisors;
  object["pools_made_anew"] = pools_made_anew;
  object["longest_adoption_s"] = longest_adoption_s;
  object["without_supervisor_s"] = without_supervisor_s;
  object["replies_without_supervisor"] = replies_without_supervisor;
  object["latest_return_s"] = latest_s;
  for (const auto& [name, value] : must_be_zero(*this)) object["must_be_zero"][name] = value;
  object["remarks"] = remarks;
  object["passed"] = good();
  return object.dump(2) + "\n";
}

std::string command_line(const Options& options) {
  char minutes[32];
  std::snprintf(minutes, sizeof(minutes), "%g", options.minutes);
  std::string line = std::string("tools/chaos --minutes ") + minutes + " --seed " +
                     std::to_string(options.seed) + " --clients " +
                     std::to_string(options.clients) + " --workers " +
                     std::to_string(options.workers) + " --pool " + options.pool;
  if (!options.supervisor_kills) line += " --no-supervisor-kills";
  if (!options.canary.empty()) line += " --canary " + options.canary;
  return line;
}

}  // namespace slotring::chaos
