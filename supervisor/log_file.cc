#include "supervisor/log_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "client_lib/shm/memory.h"

namespace slotring::supervisor {

Result<std::shared_ptr<LogFile>> LogFile::open(const std::string& path) {
  std::error_code ignored;  // open() says what is wrong
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  shm::UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
  if (!file.valid()) {
    Error error = shm::system_error(("opening the log " + path).c_str(), errno);
    if (error.code == ErrorCode::kInternal) error.code = ErrorCode::kInvalidArgument;
    return error;
  }
  return std::make_shared<LogFile>(path, std::move(file));
}

void LogFile::sink_it_(const spdlog::details::log_msg& line) {
  if (lost_ > 0) {
    const std::string told = loss();
    if (!write({line.time, {}, "log", spdlog::level::warn, told})) return lose(errno);
    lost_ = 0;
  }
  if (!write(line)) lose(errno);
}

// False, with errno, when the line is not in the file as a whole.
bool LogFile::write(const spdlog::details::log_msg& line) {
  spdlog::memory_buf_t text;
  if (torn_) text.push_back('\n');
  formatter_->format(line, text);
  const char* rest = text.data();
  const char* const end = rest + text.size();
  while (rest < end) {
    const ssize_t written = ::write(file_.get(), rest, static_cast<std::size_t>(end - rest));
    if (written > 0) {
      rest += written;
    } else if (written == 0 || errno != EINTR) {
      torn_ = torn_ || rest > text.data();
      return false;
    }
  }
  torn_ = false;
  return true;
}

void LogFile::lose(int error_number) {
  if (lost_++ > 0) return;
  // On the log's own thread: a stderr that nobody reads holds up nothing else.
  std::fprintf(stderr, "slotring-supervisor: cannot write to the log %s: %s; lines are lost\n",
               path_.c_str(), std::generic_category().message(error_number).c_str());
}

std::string LogFile::loss() const {
  return std::to_string(lost_) + (lost_ == 1 ? " line was" : " lines were") +
         " lost here: the log could not be written";
}

}  // namespace slotring::supervisor
