// Processes that are killed, or stopped for a while. A pid that is read somewhere may be another
// process's by the time it is signalled: signals go through a pidfd, and only to processes of the
// run.

#ifndef SLOTRING_TESTS_CHAOS_VICTIMS_H_
#define SLOTRING_TESTS_CHAOS_VICTIMS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "client_lib/shm/unique_fd.h"

namespace slotring::chaos {

class Victim {
 public:
  Victim() = default;
  // Nothing when there is no such process, or when it is none of the run whose `folder` is in its
  // environment or its arguments.
  static Victim of(pid_t pid, const std::string& folder);

  // A child of this process that was not waited for: its pid is its own.
  static Victim child(pid_t pid);

  bool valid() const { return pidfd_.valid(); }
  bool signal(int number) const;
  bool dead() const;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  shm::UniqueFd pidfd_;
};

// Those that are stopped, each until its time.
class StoppedVictims {
 public:
  void stop(Victim victim, std::uint64_t until_ns);
  // Lets those go on whose time has come, or all.
  void resume(std::uint64_t now_ns);
  void resume_all();

 private:
  struct Stopped {
    Victim victim;
    std::uint64_t until_ns;
  };
  std::vector<Stopped> stopped_;
};

// The living processes of a run, this one excepted.
std::vector<pid_t> processes_of(const std::string& folder);

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_VICTIMS_H_
