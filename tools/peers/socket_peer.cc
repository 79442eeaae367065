#include "tools/bench/socket_transport.h"
#include "tools/peers/peer.h"

namespace slotring::peers {

Peer socket_peer() {
  return {"socket", "Unix stream socket, plain Python",
          [](const PeerShape& shape) {
            std::vector<std::string> job;
            if (shape.job != bench::Job::kEcho) {
              job = {SLOTRING_PEERS_PYTHON, std::string(to_string(shape.job))};
            }
            return std::make_unique<bench::SocketTransport>(shape.folder, shape.name, shape.workers,
                                                            shape.clients, job);
          },
          ""};
}

}  // namespace slotring::peers
