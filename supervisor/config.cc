#include "supervisor/config.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <tuple>

#include "supervisor/config_table.h"
#include "supervisor/pool_section.h"

namespace slotring::supervisor {

namespace {

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
    if (!log.file.empty()) log.file = placed(folder_, log.file);
    table.read_choice<LogFormat>("format", log.format,
                                 {{"text", LogFormat::kText}, {"json", LogFormat::kJson}});
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
    PoolSection section(*node.as_table(), std::string(name.str()), folder_, reading_.errors);
    reading_.config.pools.push_back(section.read(reading_.config.pools));
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
