// Tables of text in columns, and text that is safe to show.

#ifndef SLOTRING_TOOLS_TERMINAL_TEXT_TABLE_H_
#define SLOTRING_TOOLS_TERMINAL_TEXT_TABLE_H_

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace slotring::terminal {

enum class Align { kLeft, kRight };

class TextTable {
 public:
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };

  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // REQUIRES: one cell a column.
  void add_row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  // Titles and rows, one a line, each as wide as its widest cell.
  std::string to_string() const;

 private:
  void append_line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                   std::string& to) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Whether `bytes` are UTF-8 without control characters other than line ends and tabs.
bool is_text(std::string_view bytes);

// `text` as it is, or, where it is no text, with its odd bytes as \xNN: what another process wrote
// must not reach the terminal's escape sequences.
std::string printable(std::string_view text);

// "3.14" for 2 digits.
std::string decimal_text(double number, int digits);

// "850 ns", "1.23 us", "45.6 ms", "7.89 s", "3 min 12 s", "2 h 5 min".
std::string duration_text(double nanoseconds);
inline std::string duration_text(std::chrono::nanoseconds duration) {
  return duration_text(static_cast<double>(duration.count()));
}

}  // namespace slotring::terminal

#endif  // SLOTRING_TOOLS_TERMINAL_TEXT_TABLE_H_
