#include "client_lib/shm/process_identity.h"

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

#include "client_lib/shm/memory.h"

namespace slotring::shm {

namespace {

Error no_such_process(pid_t pid) {
  return Error{ErrorCode::kWorkerUnavailable, "process " + std::to_string(pid) + " has ended"};
}

}  // namespace

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

Result<UniqueFd> open_pidfd(pid_t pid) {
  if (pid <= 0) return no_such_process(pid);
  // By number: glibc 2.36 declares it without C linkage.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (pidfd.valid()) return pidfd;
  // EINVAL: the number belongs to a thread by now.
  if (errno == ESRCH || errno == EINVAL) return no_such_process(pid);
  return system_error("pidfd_open", errno);
}

Result<UniqueFd> open_pidfd(const ProcessIdentity& process) {
  Result<UniqueFd> pidfd = open_pidfd(process.pid);
  // Looked at after the pidfd was opened: what has this start time now is what the pidfd stands
  // for, or has ended since, which the pidfd tells.
  if (pidfd && process.start_time != 0 && process_start_time(process.pid) != process.start_time) {
    return no_such_process(process.pid);
  }
  return pidfd;
}

bool has_ended(const UniqueFd& pidfd) {
  pollfd waited{pidfd.get(), POLLIN, 0};
  return ::poll(&waited, 1, 0) > 0;
}

bool is_alive(const ProcessIdentity& process) {
  const Result<UniqueFd> pidfd = open_pidfd(process);
  // With no descriptor left nothing is proven.
  if (!pidfd) return pidfd.error().code != ErrorCode::kWorkerUnavailable;
  return !has_ended(*pidfd);
}

bool holds_memory(pid_t pid, const UniqueFd& memory) {
  struct stat info;
  if (::fstat(memory.get(), &info) != 0) return false;
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    // address perms offset device inode path
    std::istringstream fields(line);
    std::string skipped;
    std::uint64_t inode = 0;
    for (int field = 0; field < 4; ++field) fields >> skipped;
    fields >> inode;
    if (inode == info.st_ino && line.find("memfd:") != std::string::npos) return true;
  }
  return false;
}

}  // namespace slotring::shm
