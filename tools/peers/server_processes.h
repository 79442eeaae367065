// The server processes of a peer: started together, waited for, ended with the object.

#ifndef SLOTRING_TOOLS_PEERS_SERVER_PROCESSES_H_
#define SLOTRING_TOOLS_PEERS_SERVER_PROCESSES_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "tools/bench/child_process.h"

namespace slotring::peers {

class ServerProcesses {
 public:
  // Runs each command, its output appended to `log`, and returns when all of them serve: each says
  // so by one byte to the descriptor bench::kInheritedFd. Throws slotring::Exception, with the
  // log's end, when one ends before or takes too long.
  ServerProcesses(const std::vector<std::vector<std::string>>& commands, const std::string& log);

  std::vector<pid_t> pids() const;

 private:
  void await_ready(int reader, const std::string& log);

  std::vector<bench::ChildProcess> processes_;
};

}  // namespace slotring::peers

#endif  // SLOTRING_TOOLS_PEERS_SERVER_PROCESSES_H_
