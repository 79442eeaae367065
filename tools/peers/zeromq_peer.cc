// ZeroMQ over ipc endpoints: a REQ socket in each client, a REP socket in each Python server.
//
// The request-reply pattern of ZeroMQ's guide: a REQ socket that is connected to several endpoints
// gives them its requests in turn. The server is python/zeromq_server.py, by pyzmq.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <zmq.hpp>

#include "slotring/result.h"
#include "tools/bench/transport.h"
#include "tools/peers/peer.h"
#include "tools/peers/server_processes.h"

namespace slotring::peers {

namespace {

constexpr int kPatienceMs = 30'000;

std::vector<std::string> endpoints_of(const PeerShape& shape) {
  std::vector<std::string> endpoints;
  for (int worker = 0; worker < shape.workers; ++worker) {
    endpoints.push_back("ipc://" + shape.folder + "/" + shape.name + "-" + std::to_string(worker));
  }
  return endpoints;
}

std::vector<std::vector<std::string>> commands_of(const PeerShape& shape,
                                                  const std::vector<std::string>& endpoints) {
  std::vector<std::vector<std::string>> commands;
  for (const std::string& endpoint : endpoints) {
    commands.push_back({kPython, "-B", python_program("zeromq_server"),
                        std::string(to_string(shape.job)), endpoint});
  }
  return commands;
}

class ZeroMqExchange : public bench::Exchange {
 public:
  explicit ZeroMqExchange(const std::vector<std::string>& endpoints)
      : socket_(context_, zmq::socket_type::req) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::sndtimeo, kPatienceMs);
    socket_.set(zmq::sockopt::rcvtimeo, kPatienceMs);
    for (const std::string& endpoint : endpoints) socket_.connect(endpoint);
  }

  void call(bench::Bytes request, bench::Space reply) override {
    if (!socket_.send(zmq::buffer(request.data(), request.size()))) {
      throw Exception(Error{ErrorCode::kDeadlineExceeded, "ZeroMQ: the request did not go"});
    }
    const zmq::recv_buffer_result_t received =
        socket_.recv(zmq::buffer(reply.data(), reply.size()));
    if (!received) throw Exception(Error{ErrorCode::kDeadlineExceeded, "ZeroMQ: no reply came"});
    if (received->untruncated_size != reply.size()) {
      throw Exception(Error{ErrorCode::kBadFrame, "ZeroMQ: the reply has another size"});
    }
  }

 private:
  zmq::context_t context_;
  zmq::socket_t socket_;
};

class ZeroMqTransport : public bench::Transport {
 public:
  explicit ZeroMqTransport(const PeerShape& shape)
      : endpoints_(endpoints_of(shape)),
        servers_(commands_of(shape, endpoints_), shape.folder + "/" + shape.name + ".log") {}

  std::vector<pid_t> servers() const override { return servers_.pids(); }
  std::unique_ptr<bench::Exchange> connect(int /*client*/) override {
    return std::make_unique<ZeroMqExchange>(endpoints_);
  }

 private:
  std::vector<std::string> endpoints_;
  ServerProcesses servers_;
};

}  // namespace

Peer zeromq_peer() {
  return {"zeromq", "ZeroMQ, REQ and REP over ipc",
          [](const PeerShape& shape) { return std::make_unique<ZeroMqTransport>(shape); },
          why_no_module("zmq", "python3-zmq")};
}

}  // namespace slotring::peers
