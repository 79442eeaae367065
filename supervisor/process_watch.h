// Processes by pidfd, the only handle that tells a death right in every case: pids are reused, and
// a socket's end of file proves nothing.

#ifndef SLOTRING_SUPERVISOR_PROCESS_WATCH_H_
#define SLOTRING_SUPERVISOR_PROCESS_WATCH_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

// A pidfd of a process; it becomes readable when the process has ended, all of its threads
// included. Errors: WORKER_UNAVAILABLE (no such process), SYSTEM_LIMIT.
Result<shm::UniqueFd> open_pidfd(pid_t pid);

// When the process started, in clock ticks since boot, as in /proc/PID/stat: with the pid a name
// for a process that no other ever has. 0 when there is none, or it cannot be read.
std::uint64_t process_start_time(pid_t pid);

// Collects a child of this process that has ended, and returns its status as waitpid gives it.
// Kills what is left of its process group first, while the child, unreaped, still keeps the group's
// id from being used again. REQUIRES: `pidfd` is readable; the child leads its process group.
int reap_group(int pidfd, pid_t pid);

// Ends a child that nobody is to watch, and its process group. REQUIRES: as above, but for the
// pidfd.
void kill_and_reap(pid_t pid);

// "exited with status 1", "was killed by signal 9 (Killed)"
std::string describe_wait_status(int wait_status);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_PROCESS_WATCH_H_
