#include "tools/bench/child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "client_lib/shm/memory.h"

namespace slotring::bench {

namespace {

constexpr std::chrono::seconds kPatience(15);
constexpr std::chrono::seconds kEndTimeout(60);
constexpr std::chrono::milliseconds kLook(2);

volatile std::sig_atomic_t signal_that_came = 0;

void remember(int signal) { signal_that_came = signal; }

[[noreturn]] void fail(const char* call) { throw Exception(shm::system_error(call, errno)); }

// In the child: die with the parent, and see that it did not die before.
void follow_parent(pid_t parent, int signal) {
  ::prctl(PR_SET_PDEATHSIG, signal);
  if (::getppid() != parent) ::_exit(1);
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
}

}  // namespace

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, 0);
  }
  return *this;
}

ChildProcess ChildProcess::start(const std::vector<std::string>& command, const std::string& log,
                                 const shm::UniqueFd* inherited,
                                 const shm::UniqueFd* standard_input,
                                 const shm::UniqueFd* standard_output) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return ChildProcess(pid);
  follow_parent(parent, SIGTERM);
  ::setpgid(0, 0);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int input = ::open("/dev/null", O_RDONLY);
  ::dup2(standard_input != nullptr ? standard_input->get() : input, 0);
  ::dup2(standard_output != nullptr ? standard_output->get() : output, 1);
  ::dup2(output, 2);
  int first_to_close = kInheritedFd;
  if (inherited != nullptr) {
    ::dup2(inherited->get(), kInheritedFd);
    ::fcntl(kInheritedFd, F_SETFD, 0);  // in case it had that number already
    ++first_to_close;
  }
  ::close_range(static_cast<unsigned>(first_to_close), ~0U, 0);
  ::execvp(arguments[0], arguments.data());
  std::perror(arguments[0]);
  ::_exit(127);
}

ChildProcess ChildProcess::fork(const std::function<int()>& body) {
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid > 0) return ChildProcess(pid);
  follow_parent(parent, SIGKILL);
  ::_exit(body());
}

bool ChildProcess::running() {
  if (pid_ == 0) return false;
  if (::waitpid(pid_, nullptr, WNOHANG) == 0) return true;
  pid_ = 0;
  return false;
}

bool ChildProcess::wait() {
  const auto deadline = std::chrono::steady_clock::now() + kEndTimeout;
  int status = 1;
  while (pid_ != 0) {
    const pid_t waited = ::waitpid(pid_, &status, WNOHANG);
    if (waited != 0) {
      pid_ = 0;
    } else {
      check_interrupted();
      if (std::chrono::steady_clock::now() > deadline) ::kill(pid_, SIGKILL);
      std::this_thread::sleep_for(kLook);
    }
  }
  return status == 0;
}

void ChildProcess::end() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (running()) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(pid_, SIGKILL);
    std::this_thread::sleep_for(kLook);
  }
}

std::string end_of_log(const std::string& log) {
  constexpr std::size_t kMostBytes = 2000;
  std::ostringstream text;
  text << std::ifstream(log).rdbuf();
  const std::string all = text.str();
  return all.size() <= kMostBytes ? all : all.substr(all.size() - kMostBytes);
}

void remember_signals() {
  struct sigaction action {};
  action.sa_handler = remember;  // no SA_RESTART: what waits shall notice
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

void check_interrupted() {
  if (signal_that_came != 0) throw Exception(Error{ErrorCode::kCancelled, "interrupted"});
}

int interrupted_by() { return signal_that_came; }

}  // namespace slotring::bench
