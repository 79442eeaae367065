#include "supervisor/launcher.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/error.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>

#include "client_lib/shm/memory.h"
#include "supervisor/process_watch.h"

namespace slotring::supervisor {

namespace bp = boost::process;

namespace {

rlimit original_descriptor_limit{};  // written once by prepare_to_launch()

// What happens between fork and exec. Only async-signal-safe calls: the process that was forked had
// other threads, which may have held any lock.
struct ChildSetup : bp::extend::handler {
  int socket;
  int seat_socket;
  int output;
  int error_output;
  const char* directory;
  char** environment;
  pid_t parent = ::getpid();
  pid_t* forked;  // the child's pid, also when exec fails and Boost gives no child back

  template <class Executor>
  void on_error(Executor& executor, const std::error_code&) const {
    *forked = executor.pid;
  }

  // Not bp::env: Boost 1.74's environment reads past the end of its strings when a name is set.
  template <class Executor>
  void on_setup(Executor& executor) const {
    executor.env = environment;
  }

  template <class Executor>
  void on_exec_setup(Executor&) const {
    // A worker that is not published cannot be taken over by another supervisor, and should not be
    // waited for; nor should a process that holds this one's descriptors and has not come to exec.
    // The worker lifts this when it is published.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);  // it died before
    ::setpgid(0, 0);
    ::close(STDIN_FILENO);
    if (::open("/dev/null", O_RDONLY) != STDIN_FILENO) ::_exit(126);  // it takes the lowest number
    ::dup2(output, STDOUT_FILENO);
    ::dup2(error_output, STDERR_FILENO);
    ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    ::fcntl(socket, F_SETFD, 0);
    if (seat_socket >= 0) ::fcntl(seat_socket, F_SETFD, 0);
    reset_signals();
    if (original_descriptor_limit.rlim_max != 0) {
      ::setrlimit(RLIMIT_NOFILE, &original_descriptor_limit);
    }
    if (::chdir(directory) != 0) die("cannot enter the worker's directory");
  }

  static void reset_signals() {
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &by_default, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
  }

  [[noreturn]] void die(const char* why) const {
    const char* parts[] = {"slotring-supervisor: ", why, ": ", directory, "\n"};
    for (const char* part : parts) {
      if (::write(STDERR_FILENO, part, ::strlen(part)) < 0) break;
    }
    ::_exit(126);  // as a shell says of what it found and could not run
  }
};

// "NAME=value", the supervisor's own ones less those that the order sets, then the order's.
std::vector<std::string> environment_of(const LaunchOrder& order) {
  std::vector<std::string> entries;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!order.environment.contains(std::string(text.substr(0, text.find('='))))) {
      entries.emplace_back(text);
    }
  }
  for (const auto& [name, value] : order.environment) entries.push_back(name + "=" + value);
  return entries;
}

// Boost.Process looks names up on PATH only in its shell-like form.
std::optional<std::string> find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string rest = path != nullptr ? path : "/usr/bin:/bin";
  while (!rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const std::string candidate = rest.substr(0, colon) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    rest.erase(0, colon + 1);
  }
  return std::nullopt;
}

Error launch_error(const std::string& program, const std::error_code& failed) {
  Error error = shm::system_error(("starting " + program).c_str(), failed.value());
  if (error.code == ErrorCode::kInternal) error.code = ErrorCode::kInvalidArgument;
  return error;
}

// Fork and exec. Returns the pid of a process that runs the program.
Result<pid_t> spawn(const LaunchOrder& order, const std::string& program, const ChildSetup& setup) {
  std::vector<std::string> arguments = order.arguments;
  std::replace(arguments.begin(), arguments.end(), std::string(kSocketPlace),
               std::to_string(setup.socket));
  std::replace(arguments.begin(), arguments.end(), std::string(kSeatSocketPlace),
               std::to_string(setup.seat_socket));
  std::error_code failed;
  try {
    bp::child child(bp::exe = program, bp::args = arguments, setup, failed);
    const pid_t pid = child.id();
    child.detach();
    if (!failed && pid > 0) return pid;
    // Boost says nothing when it cannot make the pipe by which it learns of exec's failure.
    if (!failed) failed = std::error_code(EMFILE, std::generic_category());
  } catch (const std::exception& exception) {  // Boost's adapters: out of memory, mostly
    return Error{ErrorCode::kOutOfMemory,
                 "starting " + program + ": " + std::string(exception.what())};
  }
  // A failed exec leaves a dead child that nobody else knows of.
  if (*setup.forked > 0) ::waitpid(*setup.forked, nullptr, 0);
  return launch_error(program, failed);
}

}  // namespace

Result<PipeEnds> make_pipe(int flags) {
  int fds[2];
  if (::pipe2(fds, flags | O_CLOEXEC) != 0) return shm::system_error("pipe", errno);
  return PipeEnds{shm::UniqueFd(fds[0]), shm::UniqueFd(fds[1])};
}

Result<Connections> Connections::make() {
  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return shm::system_error("socketpair", errno);
  }
  Connections made{shm::UniqueFd(sockets[0]), shm::UniqueFd(sockets[1]), {}, {}};
  Result<PipeEnds> output = make_pipe();
  if (!output) return std::move(output).error();
  Result<PipeEnds> error_output = make_pipe();
  if (!error_output) return std::move(error_output).error();
  made.output = *std::move(output);
  made.error_output = *std::move(error_output);
  return made;
}

Result<LaunchedProcess> Connections::with(pid_t child) && {
  their_socket.reset();
  output.writing.reset();
  error_output.writing.reset();
  // Nobody else reaps, so the pid is the child's until reap_group().
  Result<shm::UniqueFd> pidfd = shm::open_pidfd(child);
  if (!pidfd) return std::move(pidfd).error();
  return LaunchedProcess{child,
                         shm::process_start_time(child),
                         *std::move(pidfd),
                         std::move(socket),
                         std::move(output.reading),
                         std::move(error_output.reading)};
}

Result<LaunchedProcess> launch(const LaunchOrder& order) {
  const std::optional<std::string> program = find_program(order.program);
  if (!program) {
    return Error{ErrorCode::kInvalidArgument, "there is no program " + order.program + " on PATH"};
  }
  Result<Connections> connections = Connections::make();
  if (!connections) return std::move(connections).error();

  pid_t forked = -1;
  ChildSetup setup;
  setup.socket = connections->their_socket.get();
  setup.seat_socket = order.seat_socket;
  setup.output = connections->output.writing.get();
  setup.error_output = connections->error_output.writing.get();
  setup.directory = order.directory.c_str();
  std::vector<std::string> entries = environment_of(order);
  std::vector<char*> environment;
  environment.reserve(entries.size() + 1);
  for (std::string& entry : entries) environment.push_back(entry.data());
  environment.push_back(nullptr);
  setup.environment = environment.data();
  setup.forked = &forked;
  Result<pid_t> pid = spawn(order, *program, setup);
  if (!pid) return std::move(pid).error();

  Result<LaunchedProcess> process = std::move(*connections).with(*pid);
  if (!process) kill_and_reap(*pid);
  return process;
}

void prepare_to_launch() {
  int fd;
  do {
    fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  } while (fd >= 0 && fd <= STDERR_FILENO);  // each takes the lowest that is missing
  if (fd > STDERR_FILENO) ::close(fd);

  ::signal(SIGCHLD, SIG_DFL);  // an ignored one would reap children behind our back
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a log file, or a memory, beyond RLIMIT_FSIZE is an error
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {  // ended while the program before this one left
  }

  if (::getrlimit(RLIMIT_NOFILE, &original_descriptor_limit) != 0) return;
  rlimit raised = original_descriptor_limit;
  raised.rlim_cur = raised.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &raised);
}

void restore_descriptor_limit() { ::setrlimit(RLIMIT_NOFILE, &original_descriptor_limit); }

}  // namespace slotring::supervisor
