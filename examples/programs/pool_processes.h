// The supervisor and its workers, as processes to start and to kill.

#ifndef SLOTRING_EXAMPLES_PROGRAMS_POOL_PROCESSES_H_
#define SLOTRING_EXAMPLES_PROGRAMS_POOL_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace programs_demo {

// Starts a program; its output goes to a file when one is named.
pid_t start(const std::vector<std::string>& command, const std::string& output = "");
// Waits for the end of a child: its exit status, or 128 + the signal's number.
int wait_for(pid_t pid);
// The pids of the living children of a process, which may be another one than this.
std::vector<pid_t> children_of(pid_t pid);
bool is_alive(pid_t pid);

}  // namespace programs_demo

#endif  // SLOTRING_EXAMPLES_PROGRAMS_POOL_PROCESSES_H_
