#include "supervisor/pool_section.h"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>

#include "client_lib/shm/peer_socket.h"

namespace slotring::supervisor {

namespace {

using namespace std::chrono_literals;

constexpr double kDayInSeconds = 86'400;
// A shorter one could not tell a hung interpreter from one that had no turn yet.
constexpr std::chrono::milliseconds kMinCallTimeLimit = 100ms;
constexpr double kYearInSeconds = 365 * kDayInSeconds;
constexpr std::string_view kSqlite = "sqlite:";
// Half of what a process can address: a client maps both directions of all slots.
constexpr std::uint64_t kMaxDataBytes = std::uint64_t{1} << 45;

std::optional<uid_t> user_id(const std::string& name) {
  const passwd* entry = ::getpwnam(name.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->pw_uid;
}

std::optional<gid_t> group_id(const std::string& name) {
  const group* entry = ::getgrnam(name.c_str());
  if (entry == nullptr) return std::nullopt;
  return entry->gr_gid;
}

// An array of names, looked up by `lookup`, or of ids.
template <class Id, class Lookup>
void read_ids(ConfigTable& table, std::string_view key, std::string_view what, Lookup lookup,
              std::vector<Id>& into) {
  const toml::node* node = table.find(key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  if (array == nullptr) return table.report_type(*node, key, "an array of names or ids");
  for (const toml::node& element : *array) {
    std::optional<Id> id;
    if (const auto name = element.value_exact<std::string>()) {
      id = lookup(*name);
    } else if (const auto number = element.value_exact<std::int64_t>()) {
      if (*number >= 0 && *number < std::numeric_limits<Id>::max()) id = static_cast<Id>(*number);
    }
    if (!id) {
      table.report_value(element, key, "a " + std::string(what) + " that exists, or its id");
    } else {
      into.push_back(*id);
    }
  }
}

// As far as can be told without Python, whose names may have letters beyond ASCII's.
bool is_module_name(std::string_view text) {
  bool first = true;  // of a part
  for (const char c : text) {
    const bool letter = std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c < 0;
    const bool digit = c >= '0' && c <= '9';
    if (first ? !letter : !letter && !digit && c != '.') return false;
    first = c == '.';
  }
  return !first;
}

}  // namespace

std::string placed(const std::filesystem::path& folder, const std::string& path) {
  return (folder / path).lexically_normal().string();
}

PoolSection::PoolSection(const toml::table& table, std::string name,
                         const std::filesystem::path& folder, ConfigErrors& errors)
    : table_(table, "[pool." + name + "]", errors), folder_(folder), errors_(errors) {
  pool_.name = std::move(name);
}

PoolConfig PoolSection::read(const std::vector<PoolConfig>& others) {
  read_worker();
  read_start();
  read_staffing();
  read_sizes();
  read_profile();
  read_waiting();
  read_sessions(others);
  read_access(others);
  read_times();
  table_.finish();
  return std::move(pool_);
}

void PoolSection::read_worker() {
  table_.require("module", "the Python module that holds the handlers");
  table_.read_text("module", pool_.module);
  table_.read_text("python", pool_.python);
  if (pool_.python.find('/') != std::string::npos) pool_.python = placed(folder_, pool_.python);
  pool_.python_path = {"."};
  table_.read_texts("python_path", pool_.python_path);
  for (std::string& path : pool_.python_path) path = placed(folder_, path);
  table_.read_text("package_path", pool_.package_path);
  if (!pool_.package_path.empty()) pool_.package_path = placed(folder_, pool_.package_path);
  pool_.directory = ".";
  table_.read_text("directory", pool_.directory);
  pool_.directory = placed(folder_, pool_.directory);
  if (table_.has("directory") && !std::filesystem::is_directory(pool_.directory)) {
    report(errors_, table_.place_of("directory"),
           "`directory`: there is no folder " + pool_.directory);
  }
  table_.read_text_map("env", pool_.env);
  if (pool_.env.contains("PYTHONPATH")) {
    report(errors_, table_.place_of("env"), "PYTHONPATH in `env` has no effect; use `python_path`");
  }
}

void PoolSection::read_start() {
  table_.read_choice("start", pool_.start, {"process", "template"});
  table_.read_texts("preload", pool_.preload);
  if (!table_.has("preload")) return;
  if (!pool_.forks()) {
    report(errors_, table_.place_of("preload"),
           "`preload` has no effect with start = \"process\": set start = \"template\", or leave "
           "it out");
  }
  for (const std::string& module : pool_.preload) {
    if (is_module_name(module)) continue;
    report(errors_, table_.place_of("preload"),
           "`preload`: \"" + module +
               "\" is no name of a module, such as \"numpy\" or "
               "\"sklearn.linear_model\"");
  }
}

void PoolSection::read_staffing() {
  table_.read_flag("lazy", pool_.lazy);
  const toml::node* workers = table_.find("workers");
  if (workers != nullptr && workers->is_table()) {
    read_range(*workers->as_table());
  } else if (workers != nullptr && !workers->is_integer()) {
    table_.report_type(*workers, "workers", "an integer or a table {min = A, max = B}");
  } else {
    table_.read_number("workers", pool_.workers, 1, layout::kMaxWorkers);
    pool_.min_workers = pool_.workers;
  }
  table_.read_seconds("idle_timeout_s", pool_.idle_timeout, 0.1, kDayInSeconds);
  if (table_.has("idle_timeout_s") && !pool_.shrinks()) {
    report(errors_, table_.place_of("idle_timeout_s"),
           "`idle_timeout_s` has no effect: no worker is ended for being idle unless `workers` "
           "is a table whose `min` is less than its `max`");
  }
}

void PoolSection::read_range(const toml::table& node) {
  ConfigTable range(node, "`workers` of [pool." + pool_.name + "]", errors_);
  range.require("min", "the least workers");
  range.require("max", "the most workers");
  range.read_number("max", pool_.workers, 1, layout::kMaxWorkers);
  pool_.min_workers = pool_.lazy ? 0 : 1;
  range.read_number("min", pool_.min_workers, 0, layout::kMaxWorkers);
  if (pool_.min_workers > pool_.workers) {
    report(errors_, range.place_of("min"),
           "`min` is " + std::to_string(pool_.min_workers) + ", and more than `max`, " +
               std::to_string(pool_.workers));
  } else if (pool_.min_workers == 0 && !pool_.lazy) {
    report(errors_, range.place_of("min"),
           "`min` is 0: a pool that may have no worker needs `lazy = true`");
  }
  range.finish();
}

void PoolSection::read_sessions(const std::vector<PoolConfig>& others) {
  std::string store = "memory";
  table_.read_text("session_store", store);
  if (store.starts_with(kSqlite) && store.size() > kSqlite.size()) {
    pool_.session_database = placed(folder_, store.substr(kSqlite.size()));
    check_database(others);
  } else if (store != "memory") {
    table_.report_value(*table_.find("session_store"), "session_store",
                        "\"memory\" or \"sqlite:PATH\"");
  }
  using layout::SessionMode;
  table_.read_choice<SessionMode>(
      "session_mode", pool_.session_mode,
      {{"hint", SessionMode::kHint}, {"queue", SessionMode::kQueue}, {"fail", SessionMode::kFail}});
  table_.read_seconds_or_none("session_ttl_s", pool_.session_ttl, 0.1, kYearInSeconds);
  for (const char* key : {"session_store", "session_mode", "session_ttl_s"}) {
    if (pool_.max_sessions > 0 || !table_.has(key)) continue;
    report(errors_, table_.place_of(key),
           "`" + std::string(key) + "` has no effect: `max_sessions` is 0, so there are none");
  }
}

void PoolSection::check_database(const std::vector<PoolConfig>& others) {
  const std::filesystem::path folder = std::filesystem::path(pool_.session_database).parent_path();
  std::error_code failed;  // what cannot be looked at is not there
  if (!std::filesystem::is_directory(folder, failed)) {
    report(errors_, table_.place_of("session_store"),
           "`session_store`: there is no folder " + folder.string());
  } else if (std::filesystem::is_directory(pool_.session_database, failed)) {
    report(errors_, table_.place_of("session_store"),
           "`session_store`: " + pool_.session_database + " is a folder, and no database");
  }
  for (const PoolConfig& other : others) {
    if (other.session_database != pool_.session_database) continue;
    report(errors_, table_.place_of("session_store"),
           "the pools " + other.name + " and " + pool_.name + " have the same session_store, " +
               pool_.session_database);
  }
}

void PoolSection::read_sizes() {
  table_.read_number("slots_per_worker", pool_.slots_per_worker, 1, layout::kMaxSlotsPerWorker);
  table_.read_number("max_clients", pool_.max_clients, 1, layout::kMaxClients);
  table_.read_number("max_waiting", pool_.max_waiting, 1, layout::kMaxWaiters);
  table_.read_number("max_sessions", pool_.max_sessions, 0, layout::kMaxSessions);
  table_.read_bytes("slot_bytes", pool_.slot_bytes, layout::kMinAreaBytes, layout::kMaxAreaBytes);
  pool_.warm_bytes = std::min(pool_.warm_bytes, pool_.slot_bytes);
  table_.read_bytes("warm_bytes", pool_.warm_bytes, layout::kPageBytes, pool_.slot_bytes);
  pool_.kept_bytes = std::clamp(pool_.kept_bytes, pool_.warm_bytes, pool_.slot_bytes);
  table_.read_bytes("kept_bytes", pool_.kept_bytes, pool_.warm_bytes, pool_.slot_bytes);
  const std::uint64_t slots = std::uint64_t{pool_.workers} * pool_.slots_per_worker;
  if (slots > layout::kMaxSlots) {
    report(errors_, table_.place(),
           "workers * slots_per_worker is " + std::to_string(slots) + "; at most " +
               std::to_string(layout::kMaxSlots) + " slots are allowed");
  } else if (slots * pool_.slot_bytes > kMaxDataBytes) {
    report(errors_, table_.place(),
           "workers * slots_per_worker * slot_bytes is " + format_bytes(slots * pool_.slot_bytes) +
               "; a process can address at most " + format_bytes(kMaxDataBytes));
  }
}

// REQUIRES: the sizes have been read.
void PoolSection::read_profile() {
  table_.read_choice("profile", pool_.profile, {"single", "threads", "asyncio"});
  if (pool_.profile == "threads") {
    pool_.threads = pool_.slots_per_worker;
    table_.read_number("threads", pool_.threads, 1, pool_.slots_per_worker);
  } else if (table_.find("threads") != nullptr) {
    report(errors_, table_.place_of("threads"),
           "`threads` has no effect with profile = \"" + pool_.profile +
               "\": set profile = \"threads\", or leave it out");
  }
}

void PoolSection::read_waiting() {
  using layout::WaitingMode;
  table_.read_choice<WaitingMode>("waiting", pool_.waiting,
                                  {{"balanced", WaitingMode::kBalanced},
                                   {"latency", WaitingMode::kLatency},
                                   {"frugal", WaitingMode::kFrugal}});
}

void PoolSection::read_access(const std::vector<PoolConfig>& others) {
  table_.read_text("socket", pool_.socket);
  pool_.default_socket = pool_.socket.empty();
  pool_.socket =
      pool_.default_socket ? shm::socket_path(pool_.name) : placed(folder_, pool_.socket);
  read_ids(table_, "allow_users", "user name", user_id, pool_.allow_users);
  read_ids(table_, "allow_groups", "group name", group_id, pool_.allow_groups);
  if (pool_.lets_others_in() && pool_.default_socket) {
    const char* key = pool_.allow_users.empty() ? "allow_groups" : "allow_users";
    report(errors_, table_.place_of(key),
           "`" + std::string(key) + "` lets others in, but the default socket's folder, " +
               std::filesystem::path(pool_.socket).parent_path().string() +
               ", is private; name a `socket` that they can reach");
  }
  for (const PoolConfig& other : others) {
    if (other.socket == pool_.socket) {
      report(errors_, table_.place_of("socket"),
             "the pools " + other.name + " and " + pool_.name + " have the same socket, " +
                 pool_.socket);
    }
  }
}

void PoolSection::read_times() {
  table_.read_seconds("start_timeout_s", pool_.start_timeout, 0.1, kDayInSeconds);
  table_.read_seconds("drain_timeout_s", pool_.drain_timeout, 0, kDayInSeconds);
  table_.read_seconds("stop_timeout_s", pool_.stop_timeout, 0, kDayInSeconds);
  table_.read_seconds("orphan_timeout_s", pool_.orphan_timeout, 0, kDayInSeconds);
  table_.read_seconds("call_time_limit_s", pool_.call_time_limit, 0, kDayInSeconds);
  if (pool_.call_time_limit > 0s && pool_.call_time_limit < kMinCallTimeLimit) {
    report(errors_, table_.place_of("call_time_limit_s"),
           "`call_time_limit_s` must be 0, for no limit, or at least 0.1 seconds");
  }
  RestartLimits& restart = pool_.restart;
  table_.read_seconds("restart_delay_s", restart.delay, 0.001, 3600);
  restart.delay_max = std::max(restart.delay_max, restart.delay);
  table_.read_seconds("restart_delay_max_s", restart.delay_max,
                      static_cast<double>(restart.delay.count()) / 1000, kDayInSeconds);
  table_.read_number("crash_loop_deaths", restart.crash_loop_deaths, 0, 1000);
  table_.read_seconds("crash_loop_window_s", restart.crash_loop_window, 0.1, kDayInSeconds);
}

}  // namespace slotring::supervisor
