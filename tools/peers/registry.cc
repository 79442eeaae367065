#include <cstdlib>

#include "tools/peers/peer.h"

namespace slotring::peers {

namespace {

// A peer whose packages were not there when this was configured.
[[maybe_unused]] Peer not_built(std::string name, std::string description,
                                const std::string& packages) {
  return {std::move(name), std::move(description), nullptr,
          "was not built: install " + packages + ", or give --install"};
}

}  // namespace

std::vector<Peer> all_peers() {
  std::vector<Peer> peers = {slotring_peer(),    bare_peer(), socket_peer(),
                             packet_json_peer(), pipe_peer(), executor_peer()};
#ifdef SLOTRING_PEER_BOOST_QUEUE
  peers.push_back(boost_queue_peer());
#endif
#ifdef SLOTRING_PEER_ZEROMQ
  peers.push_back(zeromq_peer());
#else
  peers.push_back(not_built("zeromq", "ZeroMQ", "libzmq3-dev cppzmq-dev python3-zmq"));
#endif
#ifdef SLOTRING_PEER_GRPC
  peers.push_back(grpc_unary_peer());
  peers.push_back(grpc_stream_peer());
#else
  const std::string grpc = "libgrpc++-dev protobuf-compiler-grpc python3-grpcio";
  peers.push_back(not_built("grpc-unary", "gRPC, a call a message", grpc));
  peers.push_back(not_built("grpc-stream", "gRPC, one stream", grpc));
#endif
#ifdef SLOTRING_PEER_NATS
  peers.push_back(nats_peer());
#else
  peers.push_back(not_built("nats", "NATS", "libnats-dev nats-server"));
#endif
#ifdef SLOTRING_PEER_ICEORYX
  peers.push_back(iceoryx_peer());
#else
  peers.push_back(not_built("iceoryx", "iceoryx, C++ both ends", "libiceoryx-posh-dev iceoryx"));
#endif
  return peers;
}

std::string python_program(std::string_view name) {
  return std::string(SLOTRING_PEERS_PYTHON) + "/" + std::string(name) + ".py";
}

std::string why_no_module(const std::string& module, const std::string& package) {
  const std::string find = std::string(kPython) + " -c 'import importlib.util, sys; sys.exit(" +
                           "importlib.util.find_spec(\"" + module + "\") is None)'";
  if (std::system(find.c_str()) == 0) return "";
  return "needs the Python module " + module + ": install " + package + ", or give --install";
}

}  // namespace slotring::peers
