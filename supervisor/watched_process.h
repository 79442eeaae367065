// A process that this one has started or taken over: its end, and what it writes, are watched.

#ifndef SLOTRING_SUPERVISOR_WATCHED_PROCESS_H_
#define SLOTRING_SUPERVISOR_WATCHED_PROCESS_H_

#include <sys/types.h>

#include <memory>

#include <boost/asio/io_context.hpp>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"
#include "supervisor/event_watch.h"
#include "supervisor/log_lines.h"

namespace slotring::supervisor {

struct WatchedProcess {
  pid_t pid = -1;
  Log log;
  ReadableWatch life;  // its pidfd
  std::unique_ptr<LogPipe> output;
  std::unique_ptr<LogPipe> error_output;

  // Logs what comes through these. Errors: SYSTEM_LIMIT, OUT_OF_MEMORY.
  Status watch_output(boost::asio::io_context& io, shm::UniqueFd out, shm::UniqueFd err);
  // Calls back when it has ended. Errors: as above.
  Status watch_life(boost::asio::io_context& io, shm::UniqueFd pidfd, Callback on_exit);
  // Of a process that has ended: logs what it wrote last.
  void finish_output() const;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_WATCHED_PROCESS_H_
