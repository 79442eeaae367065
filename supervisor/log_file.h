// A log file that may be full: the sink of a [log] `file`.
//
// A line that cannot be written is lost, and nothing waits, throws or is tried again for it: the
// next line is the next try. The first loss is told on stderr, once; when lines can be written
// again, the log itself says how many are missing. Each line is one write(2), so that other
// programs may append to the same file.

#ifndef SLOTRING_SUPERVISOR_LOG_FILE_H_
#define SLOTRING_SUPERVISOR_LOG_FILE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <spdlog/sinks/base_sink.h>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

class LogFile : public spdlog::sinks::base_sink<std::mutex> {
 public:
  // Appends to `path`, and makes it and its folders. Errors: INVALID_ARGUMENT, SYSTEM_LIMIT,
  // OUT_OF_MEMORY (no room for a new file).
  static Result<std::shared_ptr<LogFile>> open(const std::string& path);

  LogFile(std::string path, shm::UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& line) override;
  void flush_() override {}
  bool write(const spdlog::details::log_msg& line);
  void lose(int error_number);
  std::string loss() const;

  std::string path_;
  shm::UniqueFd file_;
  std::uint64_t lost_ = 0;  // lines since the last one that was written
  bool torn_ = false;       // the file ends with a part of a line
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_LOG_FILE_H_
