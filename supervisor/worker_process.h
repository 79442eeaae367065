// A worker's process, and everything that a supervisor holds for it.

#ifndef SLOTRING_SUPERVISOR_WORKER_PROCESS_H_
#define SLOTRING_SUPERVISOR_WORKER_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "supervisor/config.h"
#include "supervisor/event_watch.h"
#include "supervisor/launcher.h"
#include "supervisor/log_lines.h"
#include "supervisor/worker_link.h"

namespace slotring::supervisor {

struct WorkerProcess {
  pid_t pid = -1;
  std::uint64_t start_time = 0;
  Log log;
  ReadableWatch life;  // its pidfd
  std::unique_ptr<WorkerLink> link;
  std::unique_ptr<LogPipe> output;
  std::unique_ptr<LogPipe> error_output;

  // Logs what comes through these. Errors: SYSTEM_LIMIT, OUT_OF_MEMORY.
  Status watch_output(boost::asio::io_context& io, shm::UniqueFd out, shm::UniqueFd err);
  // Calls back when it has ended. Errors: as above.
  Status watch_life(boost::asio::io_context& io, shm::UniqueFd pidfd, Callback on_exit);
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
