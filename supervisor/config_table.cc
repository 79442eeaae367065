#include "supervisor/config_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <sstream>

namespace slotring::supervisor {

namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};

constexpr Unit kUnits[] = {{"B", 1},
                           {"KiB", std::uint64_t{1} << 10},
                           {"MiB", std::uint64_t{1} << 20},
                           {"GiB", std::uint64_t{1} << 30}};

// Levenshtein, Soviet Physics Doklady 10, 1966; one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a decimal number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::string format_number(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

}  // namespace

void report(ConfigErrors& errors, const toml::source_region& at, std::string message) {
  errors.push_back({at.path ? *at.path : "", at.begin.line, at.begin.column, std::move(message)});
}

std::string nearest_name(std::string_view meant, const std::vector<std::string_view>& known) {
  std::string_view nearest;
  std::size_t least = std::max<std::size_t>(2, meant.size() / 3) + 1;
  for (std::string_view name : known) {
    // A beginning of the name counts as one mistake.
    const bool shortened = meant.size() >= 4 && name.starts_with(meant);
    const std::size_t distance = shortened ? 1 : edit_distance(meant, name);
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  return std::string(nearest);
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number);
  if (failed != std::errc{}) return std::nullopt;
  std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (unit.empty()) return number;
  for (const Unit& known : kUnits) {
    if (known.name != unit) continue;
    if (number > std::numeric_limits<std::uint64_t>::max() / known.bytes) return std::nullopt;
    return number * known.bytes;
  }
  return std::nullopt;
}

std::string format_bytes(std::uint64_t bytes) {
  const Unit* best = &kUnits[0];
  for (const Unit& unit : kUnits) {
    if (bytes >= unit.bytes && bytes % unit.bytes == 0) best = &unit;
  }
  return std::to_string(bytes / best->bytes) + " " + std::string(best->name);
}

const toml::node* ConfigTable::find(std::string_view key) {
  known_.push_back(key);
  return table_.get(key);
}

const toml::source_region& ConfigTable::place_of(std::string_view key) const {
  const toml::node* node = table_.get(key);
  return node != nullptr ? node->source() : table_.source();
}

void ConfigTable::report_type(const toml::node& node, std::string_view key,
                              std::string_view expected) {
  report(errors_, node.source(),
         "`" + std::string(key) + "` in " + name_ + " must be " + std::string(expected) +
             ", and is " + std::string(type_name(node)));
}

void ConfigTable::report_value(const toml::node& node, std::string_view key,
                               const std::string& allowed) {
  std::ostringstream value;
  value << toml::node_view(&node);
  report(
      errors_, node.source(),
      "`" + std::string(key) + "` in " + name_ + " is " + value.str() + "; allowed is " + allowed);
}

void ConfigTable::require(std::string_view key, std::string_view what) {
  if (has(key)) return;
  report(errors_, table_.source(),
         name_ + " needs `" + std::string(key) + "`, " + std::string(what));
}

void ConfigTable::read_text(std::string_view key, std::string& into) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::optional<std::string> text = node->value_exact<std::string>();
  if (!text) return report_type(*node, key, "a text");
  if (text->empty() || text->find('\0') != std::string::npos) {
    return report_value(*node, key, "a text that is not empty");
  }
  into = *text;
}

void ConfigTable::read_choice(std::string_view key, std::string& into,
                              const std::vector<std::string_view>& allowed) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::optional<std::string> text = node->value_exact<std::string>();
  if (!text) return report_type(*node, key, "a text");
  std::string choices;
  for (std::string_view choice : allowed) {
    if (choice == *text) {
      into = *text;
      return;
    }
    choices += (choices.empty() ? "\"" : ", \"") + std::string(choice) + "\"";
  }
  report_value(*node, key, "one of " + choices);
}

void ConfigTable::read_texts(std::string_view key, std::vector<std::string>& into) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const toml::array* array = node->as_array();
  if (array == nullptr) return report_type(*node, key, "an array of texts");
  std::vector<std::string> texts;
  for (const toml::node& element : *array) {
    const std::optional<std::string> text = element.value_exact<std::string>();
    if (!text || text->empty() || text->find('\0') != std::string::npos) {
      return report_type(element, key, "an array of texts that are not empty");
    }
    texts.push_back(*text);
  }
  into = std::move(texts);
}

void ConfigTable::read_text_map(std::string_view key, std::map<std::string, std::string>& into) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const toml::table* table = node->as_table();
  if (table == nullptr) return report_type(*node, key, "a table of texts");
  for (const auto& [name, value] : *table) {
    const std::optional<std::string> text = value.value_exact<std::string>();
    if (!text) {
      report_type(value, std::string(key) + "." + std::string(name.str()), "a text");
    } else if (name.str().empty() ||
               name.str().find_first_of(std::string_view("=\0", 2)) != std::string_view::npos ||
               text->find('\0') != std::string::npos) {
      report_value(value, std::string(key) + "." + std::string(name.str()),
                   "a text without zeros, under a name without zeros or `=`");
    } else {
      into[std::string(name.str())] = *text;
    }
  }
}

void ConfigTable::read_seconds(std::string_view key, std::chrono::milliseconds& into, double min,
                               double max) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (!node->is_number()) return report_type(*node, key, "a number of seconds");
  const double seconds = node->value<double>().value_or(-1);
  if (!(seconds >= min && seconds <= max)) {  // so that NaN is refused too
    return report_value(*node, key, format_number(min) + " to " + format_number(max) + " seconds");
  }
  into = std::chrono::milliseconds(std::llround(seconds * 1000));
}

void ConfigTable::read_seconds_or_none(std::string_view key, std::chrono::milliseconds& into,
                                       double min, double max) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (!node->is_number()) return report_type(*node, key, "a number of seconds");
  const double seconds = node->value<double>().value_or(-1);
  if (seconds != 0 && !(seconds >= min && seconds <= max)) {  // so that NaN is refused too
    return report_value(*node, key,
                        "0, or " + format_number(min) + " to " + format_number(max) + " seconds");
  }
  into = std::chrono::milliseconds(std::llround(seconds * 1000));
}

void ConfigTable::read_flag(std::string_view key, bool& into) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::optional<bool> flag = node->value_exact<bool>();
  if (!flag) return report_type(*node, key, "true or false");
  into = *flag;
}

void ConfigTable::read_bytes(std::string_view key, std::uint64_t& into, std::uint64_t min,
                             std::uint64_t max) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (!node->is_integer() && !node->is_string()) {
    return report_type(*node, key, "a number of bytes or a text such as \"64 MiB\"");
  }
  std::optional<std::uint64_t> bytes;
  if (const auto text = node->value_exact<std::string>()) {
    bytes = parse_bytes(*text);
  } else if (const auto number = node->value_exact<std::int64_t>(); number && *number >= 0) {
    bytes = static_cast<std::uint64_t>(*number);
  }
  if (!bytes || *bytes < min || *bytes > max || *bytes % layout::kPageBytes != 0) {
    return report_value(*node, key,
                        format_bytes(min) + " to " + format_bytes(max) +
                            " (B, KiB, MiB or GiB) in multiples of " +
                            format_bytes(layout::kPageBytes));
  }
  into = *bytes;
}

void ConfigTable::read_number(std::string_view key, std::uint32_t& into, std::uint32_t min,
                              std::uint32_t max) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  const std::optional<std::int64_t> number = node->value_exact<std::int64_t>();
  if (!number) return report_type(*node, key, "an integer");
  if (*number < min || *number > max) {
    return report_value(*node, key, std::to_string(min) + " to " + std::to_string(max));
  }
  into = static_cast<std::uint32_t>(*number);
}

void ConfigTable::finish() {
  for (const auto& [key, value] : table_) {
    if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
    std::string message = "unknown key `" + std::string(key.str()) + "` in " + name_;
    const std::string nearest = nearest_name(key.str(), known_);
    if (!nearest.empty()) message += "; did you mean `" + nearest + "`?";
    report(errors_, key.source(), std::move(message));
  }
}

}  // namespace slotring::supervisor
