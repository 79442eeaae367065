// What slotring-supervisor is told: a TOML file, read once, checked wholly before anything starts.
//
//     [log]
//     level = "info"                   # trace debug info warning error
//
//     [pool.digits]                    # one table a pool; the socket is named after it
//     module = "digits_worker"         # the only key that must be there
//     workers = 2
//
// Every mistake is reported with file, line and column, all of them at once: unknown keys (with the
// nearest known one), wrong types, values out of range, and keys that contradict each other. The
// defaults are the initializers below; docs of each key are beside it.

#ifndef SLOTRING_SUPERVISOR_CONFIG_H_
#define SLOTRING_SUPERVISOR_CONFIG_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "schemas/control_layout.h"
#include "supervisor/restart_policy.h"

namespace slotring::supervisor {

enum class LogFormat : std::uint8_t { kText, kJson };

struct LogConfig {
  std::string level = "info";
  std::string file;  // default: stderr; SIGHUP opens it again
  LogFormat format = LogFormat::kText;
};

// Relative paths are relative to the config file's folder.
struct PoolConfig {
  std::string name;

  // The worker
  std::string module;                       // Python module with the handlers
  std::string python = "/usr/bin/python3";  // a path, or a name to be found on PATH
  std::vector<std::string> python_path;  // where modules are searched; default: the config's folder
  std::string package_path;              // folder that holds the package `slotring`; default: found
  std::string directory;                 // working directory; default: the config's folder
  std::map<std::string, std::string> env;  // besides the supervisor's own environment

  // How a worker is started: "process", by itself; "template", forked from a process that has
  // imported these modules.
  std::string start = "process";
  std::vector<std::string> preload;
  bool forks() const { return start == "template"; }

  // How a worker serves the calls of its slots: "single", one at a time; "threads", with so many
  // threads; "asyncio", all from one loop.
  std::string profile = "single";
  std::uint32_t threads = 0;  // with "threads": 1 to slots_per_worker, which is the default
  // How clients and workers wait for each other.
  layout::WaitingMode waiting = layout::WaitingMode::kBalanced;

  // How many workers: `workers = N`, or {min = A, max = B}. A lazy pool has none until somebody
  // claims; see staffing.h.
  std::uint32_t workers = 1;  // the most
  std::uint32_t min_workers = 1;
  bool lazy = false;
  std::chrono::milliseconds idle_timeout{60'000};  // of a worker above min

  // Sizes; see layout::Geometry. slot_bytes is virtual, warm_bytes is real memory, both per slot
  // and direction.
  std::uint32_t slots_per_worker = 4;
  std::uint32_t max_clients = 256;
  std::uint32_t max_waiting = 1024;
  std::uint64_t slot_bytes = std::uint64_t{64} << 20;
  std::uint64_t warm_bytes = std::uint64_t{256} << 10;
  std::uint64_t kept_bytes = std::uint64_t{20} << 20;  // what large payloads leave behind, at most
  std::uint32_t max_sessions = 1024;

  // Sessions
  std::string session_database;  // "sqlite:PATH" in `session_store`; empty: "memory"
  layout::SessionMode session_mode = layout::SessionMode::kQueue;
  std::chrono::milliseconds session_ttl{0};  // 0: never

  // Who may attach. The supervisor's own user and root always may.
  std::string socket;  // default: shm::socket_path(name)
  bool default_socket = true;
  std::vector<uid_t> allow_users;   // names or ids
  std::vector<gid_t> allow_groups;  // names or ids; a peer's supplementary groups count

  // Time limits of a worker's life
  std::chrono::milliseconds start_timeout{60'000};   // from launch to the end of its set-up
  std::chrono::milliseconds drain_timeout{10'000};   // for running calls when the pool shuts down
  std::chrono::milliseconds stop_timeout{5'000};     // from SIGTERM to SIGKILL
  std::chrono::milliseconds orphan_timeout{60'000};  // how long it outlives its supervisor
  std::chrono::milliseconds call_time_limit{0};      // of one call; 0: none

  RestartLimits
      restart;  // restart_delay_s, restart_delay_max_s, crash_loop_deaths, crash_loop_window_s

  // Whether workers are started and ended as they are needed.
  bool elastic() const { return lazy || shrinks(); }
  bool shrinks() const { return min_workers < workers; }
  layout::SessionPolicy session_policy() const;
  bool lets_others_in() const { return !allow_users.empty() || !allow_groups.empty(); }
  layout::Geometry geometry() const;
};

struct Config {
  LogConfig log;
  std::vector<PoolConfig> pools;  // at least one
};

struct ConfigError {
  std::string file;
  std::uint32_t line = 0;  // from 1; 0 when the file itself is the problem
  std::uint32_t column = 0;
  std::string message;

  // "FILE:LINE:COLUMN: error: MESSAGE"
  std::string to_string() const;
};

struct ConfigReading {
  Config config;                    // only to be used when there are no errors
  std::vector<ConfigError> errors;  // in the file's order

  bool ok() const { return errors.empty(); }
};

ConfigReading read_config(const std::string& file);
// The same from text; `file` names it in errors and places relative paths.
ConfigReading parse_config(std::string_view text, const std::string& file);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_CONFIG_H_
