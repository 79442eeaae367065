#include "tests/chaos/victims.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

namespace slotring::chaos {

namespace {

bool names(const std::filesystem::path& file, const std::string& folder) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str().find(folder) != std::string::npos;
}

bool is_of_run(pid_t pid, const std::string& folder) {
  const std::filesystem::path process = "/proc/" + std::to_string(pid);
  return names(process / "environ", folder) || names(process / "cmdline", folder);
}

}  // namespace

Victim Victim::of(pid_t pid, const std::string& folder) {
  Victim victim;
  if (pid <= 1) return victim;
  shm::UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  // Looked at after it was opened: what is read is the process's that the descriptor names.
  if (!pidfd.valid() || !is_of_run(pid, folder)) return victim;
  victim.pid_ = pid;
  victim.pidfd_ = std::move(pidfd);
  return victim;
}

Victim Victim::child(pid_t pid) {
  Victim victim;
  victim.pid_ = pid;
  victim.pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  return victim;
}

bool Victim::signal(int number) const {
  return ::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) == 0;
}

bool Victim::dead() const {
  pollfd waited{pidfd_.get(), POLLIN, 0};
  return ::poll(&waited, 1, 0) > 0;
}

void StoppedVictims::stop(Victim victim, std::uint64_t until_ns) {
  if (victim.signal(SIGSTOP)) stopped_.push_back({std::move(victim), until_ns});
}

void StoppedVictims::resume(std::uint64_t now_ns) {
  std::erase_if(stopped_, [now_ns](const Stopped& stopped) {
    return stopped.until_ns <= now_ns && (stopped.victim.signal(SIGCONT), true);
  });
}

void StoppedVictims::resume_all() { resume(~std::uint64_t{0}); }

std::vector<pid_t> processes_of(const std::string& folder) {
  std::vector<pid_t> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = std::stoi(name);
    if (pid != ::getpid() && is_of_run(pid, folder)) found.push_back(pid);
  }
  return found;
}

}  // namespace slotring::chaos
