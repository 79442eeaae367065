// Workers' ends: signals to a worker and all that it started, and how it ended.
//
// By pidfd throughout (client_lib/shm/process_identity.h): a pid alone may be another process' by
// the time that a signal reaches it. A worker need not be a child of this process: one that was
// adopted is the child of whoever took its dead supervisor's place.

#ifndef SLOTRING_SUPERVISOR_PROCESS_WATCH_H_
#define SLOTRING_SUPERVISOR_PROCESS_WATCH_H_

#include <sys/types.h>

#include <string>

#include "client_lib/shm/process_identity.h"

namespace slotring::supervisor {

// Sends `signal` to the process group that the process leads. On kernels before 6.9 a group whose
// leader is no child of this process gets the signal in its leader only. False with errno.
// REQUIRES: the process leads its process group; if a child, it was not reaped.
bool signal_group(int pidfd, pid_t pid, int signal);

// Collects a process that has ended, and kills what is left of its process group. Returns its
// status as waitpid gives it, or layout::kUnknownWaitStatus: for one that is no child of this
// process the kernel tells since 6.15. REQUIRES: as above, and `pidfd` is readable.
int reap_group(int pidfd, pid_t pid);

// Ends a child that nobody is to watch, and its process group. REQUIRES: as above, but for the
// pidfd.
void kill_and_reap(pid_t pid);

// "exited with status 1", "was killed by signal 9 (Killed)", "ended"
std::string describe_wait_status(int wait_status);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_PROCESS_WATCH_H_
