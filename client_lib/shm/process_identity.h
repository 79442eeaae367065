// A process by a name that no other ever has: its pid and when it started. Pids are used again;
// the pair is not.

#ifndef SLOTRING_CLIENT_LIB_SHM_PROCESS_IDENTITY_H_
#define SLOTRING_CLIENT_LIB_SHM_PROCESS_IDENTITY_H_

#include <sys/types.h>

#include <cstdint>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::shm {

struct ProcessIdentity {
  pid_t pid = 0;                 // 0: in a pid namespace that cannot be seen from here
  std::uint64_t start_time = 0;  // in clock ticks since boot, as in /proc/PID/stat; 0: unknown
};

// When the process started. 0 when there is none, or it cannot be read.
std::uint64_t process_start_time(pid_t pid);

// A pidfd of a process; it becomes readable when the process has ended, all of its threads
// included. Errors: WORKER_UNAVAILABLE (no such process), SYSTEM_LIMIT.
Result<UniqueFd> open_pidfd(pid_t pid);
// The same for exactly this process, and not for one that got its pid later.
Result<UniqueFd> open_pidfd(const ProcessIdentity& process);

// Whether the process that a pidfd stands for has ended; its parent may not have noticed.
bool has_ended(const UniqueFd& pidfd);

// Whether this process runs, or is stopped. False when it cannot be seen from here.
bool is_alive(const ProcessIdentity& process);

// Whether a process has `memory` mapped, as /proc tells; false also when it may not be looked at.
bool holds_memory(pid_t pid, const UniqueFd& memory);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_PROCESS_IDENTITY_H_
