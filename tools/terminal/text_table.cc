#include "tools/terminal/text_table.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstdint>
#include <cstdio>

namespace slotring::terminal {

namespace {

// How many columns `text` takes: its code points.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

// The length of the UTF-8 sequence that `bytes` begin with; 0 when they begin with none. Overlong
// forms, surrogates and numbers above U+10FFFF are none (Unicode 15, table 3-7).
std::size_t sequence_length(std::string_view bytes) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  const std::uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || bytes.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  const std::uint8_t second = at(1);
  const bool wrong = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                     (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
  return wrong ? 0 : length;
}

// The length of the harmless character that `bytes` begin with; 0 when it is none.
std::size_t text_length(std::string_view bytes) {
  const std::size_t length = sequence_length(bytes);
  const auto first = static_cast<std::uint8_t>(bytes[0]);
  if (length == 1) {
    const bool control = first < 0x20 || first == 0x7F;
    return control && first != '\n' && first != '\t' && first != '\r' ? 0 : 1;
  }
  // U+0080 to U+009F are control characters too.
  if (first == 0xC2 && length == 2 && static_cast<std::uint8_t>(bytes[1]) < 0xA0) return 0;
  return length;
}

}  // namespace

void TextTable::add_row(std::vector<std::string> cells) {
  assert(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::to_string() const {
  std::vector<std::string> titles;
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    titles.push_back(columns_[i].title);
    widths.push_back(width_of(columns_[i].title));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string text;
  append_line(titles, widths, text);
  for (const auto& row : rows_) append_line(row, widths, text);
  return text;
}

void TextTable::append_line(const std::vector<std::string>& cells,
                            const std::vector<std::size_t>& widths, std::string& to) const {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string space(widths[i] - width_of(cells[i]), ' ');
    line += columns_[i].align == Align::kRight ? space + cells[i] : cells[i] + space;
    line += "  ";
  }
  line.erase(line.find_last_not_of(' ') + 1);
  to += line + "\n";
}

bool is_text(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t length = text_length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    std::size_t length = text_length(text);
    if (length == 0) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\x%02X", static_cast<std::uint8_t>(text[0]));
      shown += escaped.data();
      length = 1;
    } else {
      shown += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return shown;
}

std::string decimal_text(double number, int digits) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", digits, number);
  return text.data();
}

std::string duration_text(double nanoseconds) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr Unit kUnits[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};
  if (nanoseconds >= 60e9) {
    const auto minutes = static_cast<std::int64_t>(nanoseconds / 60e9);
    if (minutes >= 60) {
      return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
    }
    const auto seconds = static_cast<std::int64_t>(nanoseconds / 1e9) - 60 * minutes;
    return std::to_string(minutes) + " min " + std::to_string(seconds) + " s";
  }
  for (const Unit& unit : kUnits) {
    if (nanoseconds < unit.size) continue;
    const double number = nanoseconds / unit.size;
    const int digits = number >= 100 ? 0 : number >= 10 ? 1 : 2;
    return decimal_text(number, digits) + " " + unit.name;
  }
  return decimal_text(nanoseconds, 0) + " ns";
}

}  // namespace slotring::terminal
