#include "supervisor/config.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <tuple>

#include "client_lib/shm/peer_socket.h"
#include "supervisor/config_table.h"

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

bool is_pool_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= layout::kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), allowed);
}

class ConfigParser {
 public:
  ConfigParser(const std::string& file, ConfigReading& reading)
      : folder_(std::filesystem::absolute(file).parent_path().lexically_normal()),
        reading_(reading) {}

  void parse(const toml::table& root) {
    ConfigTable table(root, "the file", reading_.errors);
    if (const toml::node* log = table.find("log")) parse_log(table, *log);
    const toml::node* pools = table.find("pool");
    if (pools == nullptr) {
      report(reading_.errors, root.source(), "there is no pool; add a table such as [pool.NAME]");
    } else if (!pools->is_table() || pools->as_table()->empty()) {
      table.report_type(*pools, "pool", "a table for each pool, such as [pool.NAME]");
    } else {
      for (const auto& [name, pool] : *pools->as_table()) parse_pool(name, pool);
    }
    table.finish();
  }

 private:
  void parse_log(ConfigTable& root, const toml::node& node) {
    if (!node.is_table()) return root.report_type(node, "log", "a table, [log]");
    ConfigTable table(*node.as_table(), "[log]", reading_.errors);
    LogConfig& log = reading_.config.log;
    table.read_choice("level", log.level, {"trace", "debug", "info", "warning", "error"});
    table.read_text("file", log.file);
    if (!log.file.empty()) log.file = placed(log.file);
    std::string format = "text";
    table.read_choice("format", format, {"text", "json"});
    log.format = format == "json" ? LogFormat::kJson : LogFormat::kText;
    table.finish();
  }

  void parse_pool(const toml::key& name, const toml::node& node) {
    if (!is_pool_name(name.str())) {
      return report(reading_.errors, name.source(),
                    "the pool name `" + std::string(name.str()) +
                        "` must be 1 to 63 letters, digits, _ or -");
    }
    if (!node.is_table()) {
      return report(reading_.errors, node.source(),
                    "`" + std::string(name.str()) + "` must be a table, [pool." +
                        std::string(name.str()) + "]");
    }
    PoolConfig pool;
    pool.name = name.str();
    ConfigTable table(*node.as_table(), "[pool." + pool.name + "]", reading_.errors);
    read_worker(table, pool);
    read_staffing(table, pool);
    read_sizes(table, pool);
    read_profile(table, pool);
    read_sessions(table, pool);
    read_access(table, pool);
    read_times(table, pool);
    table.finish();
    reading_.config.pools.push_back(std::move(pool));
  }

  void read_worker(ConfigTable& table, PoolConfig& pool) {
    table.require("module", "the Python module that holds the handlers");
    table.read_text("module", pool.module);
    table.read_text("python", pool.python);
    if (pool.python.find('/') != std::string::npos) pool.python = placed(pool.python);
    pool.python_path = {"."};
    table.read_texts("python_path", pool.python_path);
    for (std::string& path : pool.python_path) path = placed(path);
    table.read_text("package_path", pool.package_path);
    if (!pool.package_path.empty()) pool.package_path = placed(pool.package_path);
    pool.directory = ".";
    table.read_text("directory", pool.directory);
    pool.directory = placed(pool.directory);
    if (table.has("directory") && !std::filesystem::is_directory(pool.directory)) {
      report(reading_.errors, table.place_of("directory"),
             "`directory`: there is no folder " + pool.directory);
    }
    table.read_text_map("env", pool.env);
    if (pool.env.contains("PYTHONPATH")) {
      report(reading_.errors, table.place_of("env"),
             "PYTHONPATH in `env` has no effect; use `python_path`");
    }
  }

  void read_staffing(ConfigTable& table, PoolConfig& pool) {
    table.read_flag("lazy", pool.lazy);
    const toml::node* workers = table.find("workers");
    if (workers != nullptr && workers->is_table()) {
      read_range(*workers->as_table(), pool);
    } else if (workers != nullptr && !workers->is_integer()) {
      table.report_type(*workers, "workers", "an integer or a table {min = A, max = B}");
    } else {
      table.read_number("workers", pool.workers, 1, layout::kMaxWorkers);
      pool.min_workers = pool.workers;
    }
    table.read_seconds("idle_timeout_s", pool.idle_timeout, 0.1, kDayInSeconds);
    if (table.has("idle_timeout_s") && !pool.shrinks()) {
      report(reading_.errors, table.place_of("idle_timeout_s"),
             "`idle_timeout_s` has no effect: no worker is ended for being idle unless `workers` "
             "is a table whose `min` is less than its `max`");
    }
  }

  void read_range(const toml::table& node, PoolConfig& pool) {
    ConfigTable range(node, "`workers` of [pool." + pool.name + "]", reading_.errors);
    range.require("min", "the least workers");
    range.require("max", "the most workers");
    range.read_number("max", pool.workers, 1, layout::kMaxWorkers);
    pool.min_workers = pool.lazy ? 0 : 1;
    range.read_number("min", pool.min_workers, 0, layout::kMaxWorkers);
    if (pool.min_workers > pool.workers) {
      report(reading_.errors, range.place_of("min"),
             "`min` is " + std::to_string(pool.min_workers) + ", and more than `max`, " +
                 std::to_string(pool.workers));
    } else if (pool.min_workers == 0 && !pool.lazy) {
      report(reading_.errors, range.place_of("min"),
             "`min` is 0: a pool that may have no worker needs `lazy = true`");
    }
    range.finish();
  }

  void read_sessions(ConfigTable& table, PoolConfig& pool) {
    std::string store = "memory";
    table.read_text("session_store", store);
    if (store.starts_with(kSqlite) && store.size() > kSqlite.size()) {
      pool.session_database = placed(store.substr(kSqlite.size()));
      check_database(table, pool);
    } else if (store != "memory") {
      table.report_value(*table.find("session_store"), "session_store",
                         "\"memory\" or \"sqlite:PATH\"");
    }
    std::string mode = "queue";
    table.read_choice("session_mode", mode, {"hint", "queue", "fail"});
    using layout::SessionMode;
    pool.session_mode = mode == "hint"   ? SessionMode::kHint
                        : mode == "fail" ? SessionMode::kFail
                                         : SessionMode::kQueue;
    table.read_seconds_or_none("session_ttl_s", pool.session_ttl, 0.1, kYearInSeconds);
    for (const char* key : {"session_store", "session_mode", "session_ttl_s"}) {
      if (pool.max_sessions > 0 || !table.has(key)) continue;
      report(reading_.errors, table.place_of(key),
             "`" + std::string(key) + "` has no effect: `max_sessions` is 0, so there are none");
    }
  }

  void check_database(ConfigTable& table, const PoolConfig& pool) {
    const std::filesystem::path folder = std::filesystem::path(pool.session_database).parent_path();
    std::error_code failed;  // what cannot be looked at is not there
    if (!std::filesystem::is_directory(folder, failed)) {
      report(reading_.errors, table.place_of("session_store"),
             "`session_store`: there is no folder " + folder.string());
    } else if (std::filesystem::is_directory(pool.session_database, failed)) {
      report(reading_.errors, table.place_of("session_store"),
             "`session_store`: " + pool.session_database + " is a folder, and no database");
    }
    for (const PoolConfig& other : reading_.config.pools) {
      if (other.session_database != pool.session_database) continue;
      report(reading_.errors, table.place_of("session_store"),
             "the pools " + other.name + " and " + pool.name + " have the same session_store, " +
                 pool.session_database);
    }
  }

  void read_sizes(ConfigTable& table, PoolConfig& pool) {
    table.read_number("slots_per_worker", pool.slots_per_worker, 1, layout::kMaxSlotsPerWorker);
    table.read_number("max_clients", pool.max_clients, 1, layout::kMaxClients);
    table.read_number("max_waiting", pool.max_waiting, 1, layout::kMaxWaiters);
    table.read_number("max_sessions", pool.max_sessions, 0, layout::kMaxSessions);
    table.read_bytes("slot_bytes", pool.slot_bytes, layout::kMinAreaBytes, layout::kMaxAreaBytes);
    pool.warm_bytes = std::min(pool.warm_bytes, pool.slot_bytes);
    table.read_bytes("warm_bytes", pool.warm_bytes, layout::kPageBytes, pool.slot_bytes);
    pool.kept_bytes = std::clamp(pool.kept_bytes, pool.warm_bytes, pool.slot_bytes);
    table.read_bytes("kept_bytes", pool.kept_bytes, pool.warm_bytes, pool.slot_bytes);
    const std::uint64_t slots = std::uint64_t{pool.workers} * pool.slots_per_worker;
    if (slots > layout::kMaxSlots) {
      report(reading_.errors, table.place(),
             "workers * slots_per_worker is " + std::to_string(slots) + "; at most " +
                 std::to_string(layout::kMaxSlots) + " slots are allowed");
    } else if (slots * pool.slot_bytes > kMaxDataBytes) {
      report(reading_.errors, table.place(),
             "workers * slots_per_worker * slot_bytes is " + format_bytes(slots * pool.slot_bytes) +
                 "; a process can address at most " + format_bytes(kMaxDataBytes));
    }
  }

  // REQUIRES: the sizes have been read.
  void read_profile(ConfigTable& table, PoolConfig& pool) {
    table.read_choice("profile", pool.profile, {"single", "threads", "asyncio"});
    if (pool.profile == "threads") {
      pool.threads = pool.slots_per_worker;
      table.read_number("threads", pool.threads, 1, pool.slots_per_worker);
    } else if (table.find("threads") != nullptr) {
      report(reading_.errors, table.place_of("threads"),
             "`threads` has no effect with profile = \"" + pool.profile +
                 "\": set profile = \"threads\", or leave it out");
    }
  }

  void read_access(ConfigTable& table, PoolConfig& pool) {
    table.read_text("socket", pool.socket);
    pool.default_socket = pool.socket.empty();
    pool.socket = pool.default_socket ? shm::socket_path(pool.name) : placed(pool.socket);
    read_ids(table, "allow_users", "user name", user_id, pool.allow_users);
    read_ids(table, "allow_groups", "group name", group_id, pool.allow_groups);
    if (pool.lets_others_in() && pool.default_socket) {
      const char* key = pool.allow_users.empty() ? "allow_groups" : "allow_users";
      report(reading_.errors, table.place_of(key),
             "`" + std::string(key) + "` lets others in, but the default socket's folder, " +
                 std::filesystem::path(pool.socket).parent_path().string() +
                 ", is private; name a `socket` that they can reach");
    }
    for (const PoolConfig& other : reading_.config.pools) {
      if (other.socket == pool.socket) {
        report(reading_.errors, table.place_of("socket"),
               "the pools " + other.name + " and " + pool.name + " have the same socket, " +
                   pool.socket);
      }
    }
  }

  void read_times(ConfigTable& table, PoolConfig& pool) {
    table.read_seconds("start_timeout_s", pool.start_timeout, 0.1, kDayInSeconds);
    table.read_seconds("drain_timeout_s", pool.drain_timeout, 0, kDayInSeconds);
    table.read_seconds("stop_timeout_s", pool.stop_timeout, 0, kDayInSeconds);
    table.read_seconds("orphan_timeout_s", pool.orphan_timeout, 0, kDayInSeconds);
    table.read_seconds("call_time_limit_s", pool.call_time_limit, 0, kDayInSeconds);
    if (pool.call_time_limit > 0s && pool.call_time_limit < kMinCallTimeLimit) {
      report(reading_.errors, table.place_of("call_time_limit_s"),
             "`call_time_limit_s` must be 0, for no limit, or at least 0.1 seconds");
    }
    RestartLimits& restart = pool.restart;
    table.read_seconds("restart_delay_s", restart.delay, 0.001, 3600);
    restart.delay_max = std::max(restart.delay_max, restart.delay);
    table.read_seconds("restart_delay_max_s", restart.delay_max,
                       static_cast<double>(restart.delay.count()) / 1000, kDayInSeconds);
    table.read_number("crash_loop_deaths", restart.crash_loop_deaths, 0, 1000);
    table.read_seconds("crash_loop_window_s", restart.crash_loop_window, 0.1, kDayInSeconds);
  }

  std::string placed(const std::string& path) const {
    return (folder_ / path).lexically_normal().string();
  }

  std::filesystem::path folder_;
  ConfigReading& reading_;
};

}  // namespace

layout::Geometry PoolConfig::geometry() const {
  return {workers,    slots_per_worker, max_clients, max_waiting,
          slot_bytes, warm_bytes,       kept_bytes,  max_sessions};
}

layout::SessionPolicy PoolConfig::session_policy() const {
  layout::SessionPolicy policy{};
  policy.mode = session_mode;
  policy.store = session_database.empty() ? layout::SessionStoreKind::kMemory
                                          : layout::SessionStoreKind::kDurable;
  policy.ttl_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(session_ttl).count());
  return policy;
}

std::string ConfigError::to_string() const {
  std::string text = file;
  if (line > 0) text += ":" + std::to_string(line) + ":" + std::to_string(column);
  return text + ": error: " + message;
}

ConfigReading parse_config(std::string_view text, const std::string& file) {
  ConfigReading reading;
  try {
    const toml::table root = toml::parse(text, file);
    ConfigParser(file, reading).parse(root);
  } catch (const toml::parse_error& failed) {
    report(reading.errors, failed.source(), std::string(failed.description()));
  }
  std::stable_sort(reading.errors.begin(), reading.errors.end(),
                   [](const ConfigError& a, const ConfigError& b) {
                     return std::tie(a.line, a.column) < std::tie(b.line, b.column);
                   });
  return reading;
}

ConfigReading read_config(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  // An empty file is well-formed TOML, and leaves rdbuf's failbit on `text` only.
  if (!stream.is_open() || stream.bad() || std::filesystem::is_directory(file)) {
    ConfigReading reading;
    reading.errors.push_back({file, 0, 0, "cannot read it: " + std::string(::strerror(errno))});
    return reading;
  }
  return parse_config(text.str(), file);
}

}  // namespace slotring::supervisor
