// The supervisor of a chaos run: the real program, with a config file of its own, to be killed and
// started again.

#ifndef SLOTRING_TESTS_CHAOS_SUPERVISOR_PROCESS_H_
#define SLOTRING_TESTS_CHAOS_SUPERVISOR_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/options.h"

namespace slotring::chaos {

class SupervisorProcess {
 public:
  // Writes the config and the log into `folder`.
  SupervisorProcess(const Options& options, std::string folder);
  ~SupervisorProcess();

  std::vector<std::string> sockets() const;
  std::string log_file() const { return folder_ + "/supervisor.log"; }
  pid_t pid() const { return pid_; }

  void start();
  // Kills it, and waits for its end.
  void kill();
  // How it ended by itself, as waitpid tells; nothing while it lives.
  std::optional<int> ended();

 private:
  std::string folder_;
  std::vector<std::string> pools_;
  pid_t pid_ = 0;
};

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_SUPERVISOR_PROCESS_H_
