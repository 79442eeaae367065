// A worker's process, and everything that a supervisor holds for it.

#ifndef SLOTRING_SUPERVISOR_WORKER_PROCESS_H_
#define SLOTRING_SUPERVISOR_WORKER_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "supervisor/config.h"
#include "supervisor/launcher.h"
#include "supervisor/watched_process.h"
#include "supervisor/worker_link.h"

namespace slotring::supervisor {

struct WorkerProcess : WatchedProcess {
  std::uint64_t start_time = 0;
  std::unique_ptr<WorkerLink> link;
};

// The arguments of a worker of this pool for this seat, as slotring/worker.py takes them;
// kSocketPlace and kSeatSocketPlace (launcher.h) stand for its sockets.
std::vector<std::string> worker_arguments(const PoolConfig& config, shm::SeatIndex seat);

// How a Python process of this pool is launched that runs `module` with these arguments.
LaunchOrder make_python_order(const PoolConfig& config, const std::string& package_path,
                              const std::string& module, std::vector<std::string> arguments);

// What observers are told of how such a worker serves.
layout::ProfileWord profile_word(const PoolConfig& config);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_WORKER_PROCESS_H_
