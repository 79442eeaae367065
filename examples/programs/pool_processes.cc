#include "pool_processes.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <stdexcept>

extern char** environ;

namespace programs_demo {

namespace {

struct ProcessState {
  char state = 'X';
  pid_t parent = 0;
};

// From /proc/PID/stat: "pid (name) state ppid ...", where the name may hold anything.
ProcessState look_at(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t end = line.rfind(')');
  ProcessState process;
  if (end == std::string::npos || end + 4 >= line.size()) return process;
  process.state = line[end + 2];
  process.parent = std::stoi(line.substr(end + 4));
  return process;
}

bool ended(char state) { return state == 'X' || state == 'Z'; }

}  // namespace

pid_t start(const std::vector<std::string>& command, const std::string& output) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  if (!output.empty()) {
    ::posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                       0644);
    ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  }
  pid_t pid = 0;
  const int error =
      ::posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + command[0]);
  return pid;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) throw std::runtime_error("lost a child process");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const ProcessState process = look_at(name);
    if (process.parent == pid && !ended(process.state)) children.push_back(std::stoi(name));
  }
  return children;
}

bool is_alive(pid_t pid) { return !ended(look_at(std::to_string(pid)).state); }

}  // namespace programs_demo
