#include "supervisor/process_watch.h"

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "client_lib/shm/memory.h"

namespace slotring::supervisor {

Result<shm::UniqueFd> open_pidfd(pid_t pid) {
  // By number: glibc 2.36 declares it without C linkage.
  shm::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd.valid()) return pidfd;
  if (errno == ESRCH) {
    return Error{ErrorCode::kWorkerUnavailable, "process " + std::to_string(pid) + " has ended"};
  }
  return shm::system_error("pidfd_open", errno);
}

std::uint64_t process_start_time(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  // The second field is the command in parentheses, which may hold anything, parentheses too.
  const std::size_t command_end = stat.rfind(')');
  if (command_end == std::string::npos) return 0;
  std::istringstream fields(stat.substr(command_end + 1));
  constexpr int kStartTimeField = 22;  // man 5 proc, counted from 1
  std::string skipped;
  for (int field = 3; field < kStartTimeField; ++field) fields >> skipped;
  std::uint64_t start_time = 0;
  fields >> start_time;
  return fields ? start_time : 0;
}

int reap_group(int pidfd, pid_t pid) {
  assert(pid > 1);
  ::kill(-pid, SIGKILL);
  siginfo_t info{};
  int result;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return 0;
  switch (info.si_code) {
    case CLD_KILLED:
      return info.si_status;
    case CLD_DUMPED:
      return info.si_status | __WCOREFLAG;
    default:
      return __W_EXITCODE(info.si_status, 0);
  }
}

void kill_and_reap(pid_t pid) {
  assert(pid > 1);  // else the signal would go to everybody
  ::kill(-pid, SIGKILL);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string describe_wait_status(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    const char* name = ::sigdescr_np(signal);
    return "was killed by signal " + std::to_string(signal) + " (" +
           (name != nullptr ? name : "unknown") + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace slotring::supervisor
