#include "supervisor/kept_config.h"

#include <algorithm>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

// For the database of running workers must not change below them: sessions would be in two.
Status refuse_other_store(const std::string& pool, const std::string& what_runs) {
  return Error{ErrorCode::kInvalidArgument,
               "the workers of the pool " + pool + " keep sessions in " + what_runs +
                   ", and `session_store` names another store now: stop the pool first, or "
                   "restore the key"};
}

}  // namespace

void keep_sizes(PoolConfig& config, const layout::Geometry& running, const Log& log) {
  if (config.geometry() == running) return;
  log->warn(
      "the pool runs with other sizes than the configuration says; they are kept until the "
      "pool is stopped: {}, {} each of {} bytes, {} of them warm, {} kept, {}, {} waiting, {}",
      counted(running.max_workers, "worker"), counted(running.slots_per_worker, "slot"),
      running.area_bytes, running.warm_bytes, running.kept_bytes,
      counted(running.max_clients, "client"), running.max_waiters,
      counted(running.max_sessions, "session"));
  config.min_workers =
      config.shrinks() ? std::min(config.min_workers, running.max_workers) : running.max_workers;
  config.workers = running.max_workers;
  config.slots_per_worker = running.slots_per_worker;
  config.max_clients = running.max_clients;
  config.max_waiting = running.max_waiters;
  config.slot_bytes = running.area_bytes;
  config.warm_bytes = running.warm_bytes;
  config.kept_bytes = running.kept_bytes;
  config.max_sessions = running.max_sessions;
}

Status keep_store(PoolConfig& config, const shm::ControlSegment& running, const Log& log) {
  const bool durable = running.header().sessions.store == layout::SessionStoreKind::kDurable;
  if (durable == !config.session_database.empty()) return Done{};
  if (durable) return refuse_other_store(config.name, "a database");
  log->warn(
      "the pool runs with session_store = \"memory\", and not with \"sqlite:{}\" as the "
      "configuration says; that is kept until the pool is stopped, for new workers too",
      config.session_database);
  config.session_database.clear();
  return Done{};
}

Status check_successor(const PoolConfig& running, const PoolConfig& later) {
  const std::string& runs = running.session_database;
  if (runs.empty() || later.session_database == runs) return Done{};
  return refuse_other_store(running.name, "sqlite:" + runs);
}

std::string what_waits(const PoolConfig& running, const PoolConfig& later) {
  const layout::Geometry now = running.geometry();
  const layout::Geometry then = later.geometry();
  std::string waits;
  const auto compare = [&waits](const char* key, std::uint64_t kept, std::uint64_t wanted) {
    if (kept == wanted) return;
    waits += fmt::format("{}{} = {} (is {})", waits.empty() ? "" : ", ", key, wanted, kept);
  };
  compare("workers", now.max_workers, then.max_workers);
  compare("slots_per_worker", now.slots_per_worker, then.slots_per_worker);
  compare("max_clients", now.max_clients, then.max_clients);
  compare("max_waiting", now.max_waiters, then.max_waiters);
  compare("max_sessions", now.max_sessions, then.max_sessions);
  compare("slot_bytes", now.area_bytes, then.area_bytes);
  compare("warm_bytes", now.warm_bytes, then.warm_bytes);
  compare("kept_bytes", now.kept_bytes, then.kept_bytes);
  if (later.session_database != running.session_database) {
    waits += fmt::format("{}session_store = \"sqlite:{}\" (is \"memory\")",
                         waits.empty() ? "" : ", ", later.session_database);
  }
  return waits.empty() ? waits : "pool " + running.name + ": " + waits;
}

}  // namespace slotring::supervisor
