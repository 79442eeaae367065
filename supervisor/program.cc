#include "supervisor/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/memory.h"
#include "schemas/control_layout.h"
#include "supervisor/launcher.h"
#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

constexpr int kAnswerWithinMs = 10'000;
constexpr std::size_t kMaxAnswerBytes = 4096;

std::string in_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (std::size_t end; (end = text.find('\n')) != std::string::npos;) text.replace(end, 1, "; ");
  return printable(text);
}

std::string own_layout() { return std::to_string(layout::layout_hash()); }

// What comes through the pipe until it is closed at the other end. False when that takes too long.
bool read_answer(const shm::UniqueFd& pipe, std::string& answer) {
  const shm::MonotonicNs deadline =
      shm::monotonic_now() + std::uint64_t{kAnswerWithinMs} * 1'000'000;
  for (;;) {
    const shm::MonotonicNs now = shm::monotonic_now();
    pollfd waited{pipe.get(), POLLIN, 0};
    if (now >= deadline) return false;
    if (::poll(&waited, 1, static_cast<int>((deadline - now) / 1'000'000) + 1) <= 0) continue;
    char bytes[1024];
    const ssize_t count = ::read(pipe.get(), bytes, sizeof(bytes));
    if (count <= 0) return true;
    if (answer.size() < kMaxAnswerBytes) answer.append(bytes, static_cast<std::size_t>(count));
  }
}

// Errors: SYSTEM_LIMIT.
Result<pid_t> spawn(const std::vector<std::string>& command, const shm::UniqueFd& error_output) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, error_output.get(), STDERR_FILENO);
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, arguments[0], &files, nullptr, arguments.data(), ::environ);
  ::posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return shm::system_error(("starting " + command[0]).c_str(), failed);
  return pid;
}

}  // namespace

Program::Program(char** arguments, std::string config_file)
    : arguments_(arguments), config_file_(std::move(config_file)) {
  std::error_code failed;
  path_ = std::filesystem::read_symlink("/proc/self/exe", failed).string();
}

Status Program::check_successor() const {
  Result<PipeEnds> pipe = make_pipe();
  if (!pipe) return std::move(pipe).error();
  Result<pid_t> pid = spawn(
      {path_, "--config", config_file_, "--check", "--for-layout", own_layout()}, pipe->writing);
  pipe->writing.reset();
  if (!pid) return std::move(pid).error();
  std::string answer;
  const bool answered = read_answer(pipe->reading, answer);
  if (!answered) ::kill(*pid, SIGKILL);
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!answered) {
    return Error{ErrorCode::kDeadlineExceeded, path_ + " did not check the configuration in time"};
  }
  if (status == 0) return Done{};
  return Error{ErrorCode::kInvalidArgument,
               path_ + " cannot take over, so nothing was changed: " + in_one_line(answer)};
}

Status Program::check_layout(const std::string& layout) {
  if (layout.empty() || layout == own_layout()) return Done{};
  return Error{
      ErrorCode::kVersionMismatch,
      "this build lays its shared memory out in another way than the running one; stop the "
      "running supervisor and start this one instead"};
}

Error Program::replace() const {
  restore_descriptor_limit();
  ::execv(path_.c_str(), arguments_);
  return shm::system_error(("becoming " + path_).c_str(), errno);
}

}  // namespace slotring::supervisor
