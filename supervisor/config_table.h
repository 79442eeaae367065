// One table of a TOML file, read key by key into typed fields. Remembers which keys it was asked
// for, so that finish() can report the others; a field whose key is absent or wrong keeps its
// value.

#ifndef SLOTRING_SUPERVISOR_CONFIG_TABLE_H_
#define SLOTRING_SUPERVISOR_CONFIG_TABLE_H_

#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <toml++/toml.h>

#include "supervisor/config.h"

namespace slotring::supervisor {

using ConfigErrors = std::vector<ConfigError>;

// Adds an error at a place of the file.
void report(ConfigErrors& errors, const toml::source_region& at, std::string message);

// The known name that somebody most likely meant, or empty when none is near.
std::string nearest_name(std::string_view meant, const std::vector<std::string_view>& known);

// "64 MiB", "4096", "256KiB" in bytes. Nothing when it is no size.
std::optional<std::uint64_t> parse_bytes(std::string_view text);
// "64 MiB" for 67108864; plain bytes when no unit divides it.
std::string format_bytes(std::uint64_t bytes);

class ConfigTable {
 public:
  // `name` is how messages call the table, e.g. "[pool.digits]". All three outlive this.
  ConfigTable(const toml::table& table, std::string name, ConfigErrors& errors)
      : table_(table), name_(std::move(name)), errors_(errors) {}

  void read_text(std::string_view key, std::string& into);  // not empty
  void read_choice(std::string_view key, std::string& into,
                   const std::vector<std::string_view>& allowed);
  // The same of a text that stands for a value.
  template <class Value>
  void read_choice(std::string_view key, Value& into,
                   std::initializer_list<std::pair<std::string_view, Value>> allowed) {
    std::vector<std::string_view> texts;
    for (const auto& [text, value] : allowed) texts.push_back(text);
    std::string chosen;
    read_choice(key, chosen, texts);
    for (const auto& [text, value] : allowed) {
      if (text == chosen) into = value;
    }
  }
  void read_texts(std::string_view key, std::vector<std::string>& into);
  void read_text_map(std::string_view key, std::map<std::string, std::string>& into);
  void read_flag(std::string_view key, bool& into);
  void read_seconds(std::string_view key, std::chrono::milliseconds& into, double min, double max);
  // The same, or 0.
  void read_seconds_or_none(std::string_view key, std::chrono::milliseconds& into, double min,
                            double max);
  // A number of bytes or a text such as "64 MiB"; a multiple of the page size.
  void read_bytes(std::string_view key, std::uint64_t& into, std::uint64_t min, std::uint64_t max);
  void read_number(std::string_view key, std::uint32_t& into, std::uint32_t min, std::uint32_t max);

  // The value under a key of any type, or null. Counts as asked for.
  const toml::node* find(std::string_view key);
  bool has(std::string_view key) const { return table_.contains(key); }
  const toml::source_region& place() const { return table_.source(); }
  // Where a key's value is; the table itself when it is absent.
  const toml::source_region& place_of(std::string_view key) const;

  void report_type(const toml::node& node, std::string_view key, std::string_view expected);
  void report_value(const toml::node& node, std::string_view key, const std::string& allowed);
  void require(std::string_view key, std::string_view what);

  // Reports every key that nobody asked for.
  void finish();

 private:
  const toml::table& table_;
  std::string name_;
  ConfigErrors& errors_;
  std::vector<std::string_view> known_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_CONFIG_TABLE_H_
