// Processes that the benchmark starts and that end with it, whatever ends it: each gets a signal
// when this process dies, and the destructor ends one that still runs.
//
// Errors are thrown as slotring::Exception.

#ifndef SLOTRING_TOOLS_BENCH_CHILD_PROCESS_H_
#define SLOTRING_TOOLS_BENCH_CHILD_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "client_lib/shm/unique_fd.h"

namespace slotring::bench {

// The number under which a program finds a descriptor that it was given.
inline constexpr int kInheritedFd = 3;

class ChildProcess {
 public:
  ChildProcess() = default;
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess() { end(); }

  // Runs a program in a process group of its own, its standard output and error appended to the
  // file `log`. It gets SIGTERM when this process dies. It inherits no descriptor but these, if
  // there are any: `inherited` as kInheritedFd.
  static ChildProcess start(const std::vector<std::string>& command, const std::string& log,
                            const shm::UniqueFd* inherited = nullptr,
                            const shm::UniqueFd* standard_input = nullptr,
                            const shm::UniqueFd* standard_output = nullptr);

  // Runs `body` in a forked child and ends that with its result. It gets SIGKILL when this process
  // dies, and SIGINT and SIGTERM end it.
  static ChildProcess fork(const std::function<int()>& body);

  pid_t pid() const { return pid_; }
  bool running();
  // Waits for the child's own end; one that does not end in a minute is killed. Returns whether it
  // ended with 0.
  bool wait();
  // SIGTERM, and after a few seconds SIGKILL. Nothing when it has ended.
  void end();

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_ = 0;  // 0: none, or it was waited for
};

// The last lines of a log, for an error's message.
std::string end_of_log(const std::string& log);

// --- being interrupted ---

// From now on SIGINT and SIGTERM are remembered, and end no more than the waits below.
void remember_signals();
// Throws when one came. Every wait of the benchmark calls it.
void check_interrupted();
// The signal that came; 0 for none.
int interrupted_by();

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_CHILD_PROCESS_H_
