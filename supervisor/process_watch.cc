#include "supervisor/process_watch.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>

#include "schemas/control_layout.h"

namespace slotring::supervisor {

namespace {

// <linux/pidfd.h> of Linux 6.15, which Debian 12's does not have.
constexpr unsigned kSignalProcessGroup = 1u << 2;  // PIDFD_SIGNAL_PROCESS_GROUP
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup_id;
  std::uint32_t ids[11];
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t kPidfdInfoExit = 1u << 3;               // PIDFD_INFO_EXIT
constexpr unsigned long kGetInfo = _IOWR(0xFF, 11, PidfdInfo);  // PIDFD_GET_INFO

// How a process that is no child ended. The kernel knows once its parent has reaped it.
int exit_status_of_stranger(int pidfd) {
  constexpr int kReapedWithinMs = 20;
  pollfd waited{pidfd, 0, 0};  // POLLHUP alone: it was reaped
  ::poll(&waited, 1, kReapedWithinMs);
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (::ioctl(pidfd, kGetInfo, &info) != 0 || (info.mask & kPidfdInfoExit) == 0) {
    return layout::kUnknownWaitStatus;
  }
  return info.exit_code;
}

}  // namespace

bool signal_group(int pidfd, pid_t pid, int signal) {
  assert(pid > 1);  // else the signal would go to everybody
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, kSignalProcessGroup) == 0) {
    return true;
  }
  // Nobody is in the group: a worker that has put itself into another one is alone meant.
  if (errno == ESRCH) return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0;
  if (errno != EINVAL) return false;  // a kernel that does not know the flag
  siginfo_t unreaped{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &unreaped, WEXITED | WNOHANG | WNOWAIT) == 0) {
    return ::kill(-pid, signal) == 0;  // a child keeps its pid until it is reaped
  }
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0;
}

int reap_group(int pidfd, pid_t pid) {
  signal_group(pidfd, pid, SIGKILL);
  siginfo_t info{};
  int result;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return exit_status_of_stranger(pidfd);
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
  assert(pid > 1);
  ::kill(-pid, SIGKILL);
  ::kill(pid, SIGKILL);  // also where it leads no group
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string describe_wait_status(int wait_status) {
  if (wait_status == layout::kUnknownWaitStatus) return "ended";
  if (WIFSIGNALED(wait_status)) {
    const int signal = WTERMSIG(wait_status);
    const char* name = ::sigdescr_np(signal);
    return "was killed by signal " + std::to_string(signal) + " (" +
           (name != nullptr ? name : "unknown") + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace slotring::supervisor
