#include "tools/bench/bare_python_transport.h"
#include "tools/peers/peer.h"

namespace slotring::peers {

Peer bare_peer() {
  return {"bare",
          "a bare C extension that spins on shared memory: no envelope, no deadline",
          [](const PeerShape& shape) {
            return std::make_unique<bench::BarePythonTransport>(
                shape.folder, shape.payload_bytes, shape.shares_a_cpu, /*streams=*/false);
          },
          bench::why_no_bare_python(),
          [](const PeerShape& shape) {
            return shape.workers == 1 && shape.clients == 1 && shape.job == bench::Job::kEcho;
          },
          /*one_size=*/true};
}

}  // namespace slotring::peers
