// A Unix stream socket, with plain Python processes at the other end (python/socket_echo.py):
// length-prefixed messages, one send and one receive each way.

#ifndef SLOTRING_TOOLS_BENCH_SOCKET_TRANSPORT_H_
#define SLOTRING_TOOLS_BENCH_SOCKET_TRANSPORT_H_

#include <string>
#include <vector>

#include "tools/bench/child_process.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

class SocketTransport : public Transport {
 public:
  // Starts `servers` processes, whose sockets, script and log lie in `folder` under names that
  // begin with `name`; client n connects to server n modulo `servers`. They sleep between turns.
  // They echo, or, with `job`, do what that says: more arguments of the script.
  SocketTransport(const std::string& folder, const std::string& name, int servers, int clients,
                  const std::vector<std::string>& job = {});

  std::vector<pid_t> servers() const override;
  std::unique_ptr<Exchange> connect(int client) override;

 private:
  std::string socket_path(int server) const;

  std::string prefix_;
  std::vector<ChildProcess> servers_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_SOCKET_TRANSPORT_H_
