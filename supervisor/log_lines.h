// What a worker writes to stdout and stderr, line by line into the log.
//
// The supervisor reads whatever is there and never waits for more, so that a worker never waits for
// the log and the log never for a worker. A line longer than kMaxLineBytes is cut into several.

#ifndef SLOTRING_SUPERVISOR_LOG_LINES_H_
#define SLOTRING_SUPERVISOR_LOG_LINES_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "supervisor/event_watch.h"
#include "supervisor/log_output.h"

namespace slotring::supervisor {

inline constexpr std::size_t kMaxLineBytes = 8192;
inline constexpr std::size_t kTailBytes = 2000;  // fits layout::Obituary

// The text with control characters, which could rearrange a terminal or fake a line, as \xNN.
std::string printable(std::string_view text);

// "1 worker", "2 workers"
std::string counted(std::uint64_t count, std::string_view noun);

// Cuts a stream of bytes into lines, without their ends. Pure.
class LineSplitter {
 public:
  using Sink = std::function<void(std::string_view line)>;

  void add(std::string_view bytes, const Sink& sink);
  // Gives out what came after the last end of line.
  void finish(const Sink& sink);

 private:
  std::string partial_;  // less than kMaxLineBytes
};

// The last bytes of a stream. Pure.
class Tail {
 public:
  void add(std::string_view bytes);
  std::string_view text() const;

 private:
  std::string bytes_;  // at most 2 * kTailBytes, so that it is cut seldom
};

// The reading end of a worker's stdout or stderr.
class LogPipe {
 public:
  static Result<std::unique_ptr<LogPipe>> start(boost::asio::io_context& io, shm::UniqueFd pipe,
                                                Log log);

  // Takes what is in the pipe now, although others may still hold its other end, and closes it.
  void finish();
  std::string_view tail() const { return tail_.text(); }

 private:
  explicit LogPipe(Log log) : log_(std::move(log)) {}
  void read_some();
  bool read_once();
  void close();
  void write_line(std::string_view line) const;

  Log log_;
  ReadableWatch watch_;
  LineSplitter lines_;
  Tail tail_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_LOG_LINES_H_
