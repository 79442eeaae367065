#include "tools/bench/socket_transport.h"
#include "tools/peers/peer.h"

namespace slotring::peers {

Peer socket_peer() {
  return {"socket", "Unix stream socket, plain Python",
          [](const PeerShape& shape) {
            return std::make_unique<bench::SocketTransport>(shape.folder, shape.name, shape.workers,
                                                            shape.clients);
          },
          ""};
}

}  // namespace slotring::peers
