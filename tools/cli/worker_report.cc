#include "tools/cli/worker_report.h"

#include <iostream>
#include <string>

#include "tools/cli/command.h"
#include "tools/terminal/text_table.h"

namespace slotring::cli {

namespace {

using nlohmann::json;
using terminal::Align;
using terminal::TextTable;

json worker_json(std::uint32_t seat, std::uint32_t generation, const std::optional<Error>& error) {
  json worker = {{"worker", seat}, {"generation", generation}, {"ok", !error.has_value()}};
  if (error) worker["error"] = error_json(*error);
  return worker;
}

// The first line of what error_text() says; tracebacks are below the table.
std::string result_text(const std::optional<Error>& error) {
  if (!error) return "ok";
  std::string text = error_text(Error{.code = error->code,
                                      .message = error->message,
                                      .python_type = error->python_type,
                                      .retryable = error->retryable});
  return text.substr(0, text.find('\n'));
}

std::string verdict_of(const PoolHealth& health) {
  if (!health.workers.empty()) return health.ok() ? "healthy" : "not healthy";
  return health.ok() ? "healthy, no worker runs: one starts with a call" : "no worker serves";
}

}  // namespace

int print_broadcast(const BroadcastReport& report, bool as_json) {
  const int status = report.ok() ? 0 : kExitWorkerFailed;
  if (as_json) {
    json workers = json::array();
    for (const WorkerOutcome& worker : report.workers) {
      workers.push_back(worker_json(worker.seat, worker.generation, worker.error));
    }
    std::cout << json_text({{"ok", report.ok()}, {"epoch", report.epoch}, {"workers", workers}})
              << "\n";
    return status;
  }
  TextTable table({{"WORKER", Align::kRight}, {"GENERATION", Align::kRight}, {"RESULT"}});
  for (const WorkerOutcome& worker : report.workers) {
    table.add_row({std::to_string(worker.seat), std::to_string(worker.generation),
                   result_text(worker.error)});
  }
  std::cout << "broadcast " << report.epoch << ": kept for later workers; made by "
            << report.workers.size() - report.failures().size() << " of " << report.workers.size()
            << " workers that serve\n"
            << table.to_string();
  for (const WorkerOutcome& worker : report.failures()) {
    if (worker.error->traceback.empty()) continue;
    std::cerr << "worker " << worker.seat << ": " << error_text(*worker.error);
  }
  return status;
}

int print_health(const std::string& pool, const PoolHealth& health, bool as_json) {
  const int status = health.ok() ? 0 : kExitWorkerFailed;
  if (as_json) {
    json workers = json::array();
    for (const WorkerHealth& worker : health.workers) {
      json entry = worker_json(worker.seat, worker.generation, worker.error);
      entry["latency_us"] = static_cast<double>(worker.latency.count()) / 1000;
      workers.push_back(std::move(entry));
    }
    std::cout << json_text({{"pool", pool}, {"ok", health.ok()}, {"workers", workers}}) << "\n";
    return status;
  }
  TextTable table({{"WORKER", Align::kRight},
                   {"GENERATION", Align::kRight},
                   {"LATENCY", Align::kRight},
                   {"RESULT"}});
  for (const WorkerHealth& worker : health.workers) {
    table.add_row({std::to_string(worker.seat), std::to_string(worker.generation),
                   terminal::duration_text(worker.latency), result_text(worker.error)});
  }
  std::cout << "pool " << terminal::printable(pool) << ": " << verdict_of(health) << "\n"
            << (table.empty() ? "" : table.to_string());
  return status;
}

}  // namespace slotring::cli
