// Where the log goes, and the loggers that write there. Loggers are handed to whoever logs; there
// is no global one.
//
// Writing happens on a thread of its own behind a bounded queue: a reader of stderr that stops
// reading costs log lines (the oldest), and does not stop the supervisor; nor does a full disk
// (log_file.h). Never log between fork and exec.

#ifndef SLOTRING_SUPERVISOR_LOG_OUTPUT_H_
#define SLOTRING_SUPERVISOR_LOG_OUTPUT_H_

#include <memory>
#include <string>
#include <vector>

#include <spdlog/logger.h>
#include <spdlog/sinks/dist_sink.h>

#include "slotring/result.h"
#include "supervisor/config.h"

namespace spdlog::details {
class thread_pool;
}

namespace slotring::supervisor {

using Log = std::shared_ptr<spdlog::logger>;

class LogOutput {
 public:
  // Errors: INVALID_ARGUMENT when the file cannot be opened, SYSTEM_LIMIT (no thread, no
  // descriptor), OUT_OF_MEMORY.
  static Result<std::unique_ptr<LogOutput>> open(const LogConfig& config);
  ~LogOutput();  // writes what is queued
  LogOutput(const LogOutput&) = delete;
  LogOutput& operator=(const LogOutput&) = delete;

  // A logger whose lines carry `source`, e.g. "supervisor" or "digits/0[4711]". This outlives it.
  Log make_log(const std::string& source);

  // Opens the log file again, after it was renamed. The old one stays when that fails.
  Status reopen();

 private:
  explicit LogOutput(const LogConfig& config);

  LogConfig config_;
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sink_;  // holds one, which reopen() replaces
  // Every logger that may still have lines in the queue, so that it ends here and not on the
  // writer's thread: also at the end, when that thread goes first.
  std::vector<Log> logs_;
  std::shared_ptr<spdlog::details::thread_pool> writer_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_LOG_OUTPUT_H_
