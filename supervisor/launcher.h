// Starts worker processes, and nothing else: Boost.Process for fork and exec only, since its waits
// miss or steal deaths. Watching and reaping is process_watch.h.
//
// A launched process
//   - leads a process group of its own, so that it and its children are signalled together,
//   - holds no descriptor but 0 (/dev/null), 1, 2, its end of the worker socket and its seat
//   socket,
//   - starts with no signal blocked or ignored, and with the descriptor limit that the supervisor
//     was started with,
//   - dies with the supervisor until it says that it will not (SupervisorLink::publish()): from
//   then
//     on it notices by its socket that the supervisor is gone, and is met by the next one at its
//     seat socket (seat_sockets.h).

#ifndef SLOTRING_SUPERVISOR_LAUNCHER_H_
#define SLOTRING_SUPERVISOR_LAUNCHER_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

struct LaunchOrder {
  std::string program;  // a path, or a name to be found on PATH
  // Arguments after the program; kSocketPlace stands for the number of the worker socket,
  // kSeatSocketPlace for that of the seat socket.
  std::vector<std::string> arguments;
  std::string directory;
  std::map<std::string, std::string> environment;  // replaces entries of this process' own
  int seat_socket = -1;                            // stays the caller's, too
};
inline constexpr const char* kSocketPlace = "{socket}";
inline constexpr const char* kSeatSocketPlace = "{seat-socket}";

struct LaunchedProcess {
  pid_t pid = -1;
  std::uint64_t start_time = 0;  // shm::process_start_time()
  shm::UniqueFd pidfd;
  shm::UniqueFd socket;        // this end of the worker socket, SOCK_SEQPACKET
  shm::UniqueFd output;        // what it writes to stdout
  shm::UniqueFd error_output;  // and to stderr
};

// Errors: SYSTEM_LIMIT and OUT_OF_MEMORY for shortages, INVALID_ARGUMENT when the program cannot be
// executed. REQUIRES: descriptors 0 to 2 are open; SIGCHLD is not ignored; the calling thread lives
// as long as this process.
Result<LaunchedProcess> launch(const LaunchOrder& order);

struct PipeEnds {
  shm::UniqueFd reading;
  shm::UniqueFd writing;
};
// `flags` as of pipe2(2), besides O_CLOEXEC. Errors: SYSTEM_LIMIT.
Result<PipeEnds> make_pipe(int flags = 0);

// Between this process and one that it has started, or has had started.
struct Connections {
  shm::UniqueFd socket;        // this end
  shm::UniqueFd their_socket;  // SOCK_SEQPACKET
  PipeEnds output;
  PipeEnds error_output;

  // Errors: SYSTEM_LIMIT.
  static Result<Connections> make();
  // This end's, of a child that nobody else reaps. The other ends are closed. Errors: SYSTEM_LIMIT.
  Result<LaunchedProcess> with(pid_t child) &&;
};

// Prepares this process for launching: opens missing descriptors 0 to 2, stops ignoring SIGCHLD,
// ignores SIGPIPE, and raises the descriptor limit as far as allowed. Once, before any thread is
// started.
void prepare_to_launch();
// Undoes what a program that this process becomes by exec would take for its own: the limit.
void restore_descriptor_limit();

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_LAUNCHER_H_
