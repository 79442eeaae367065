// gRPC over a Unix socket: a call a message, or one bidirectional stream for all of a client's.
//
// The synchronous C++ API with one channel a client, and grpcio's thread pool in one process a
// worker, as gRPC's guide to performance advises for Python. A channel ends at one server: client n
// takes server n modulo their number. The servers are python/grpc_server.py.

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "peer.grpc.pb.h"
#include "slotring/result.h"
#include "tools/bench/transport.h"
#include "tools/peers/peer.h"
#include "tools/peers/server_processes.h"

namespace slotring::peers {

namespace {

constexpr std::chrono::seconds kPatience(30);

enum class Way { kUnary, kStream };

std::vector<std::string> addresses_of(const PeerShape& shape) {
  std::vector<std::string> addresses;
  for (int worker = 0; worker < shape.workers; ++worker) {
    addresses.push_back("unix:" + shape.folder + "/" + shape.name + "-" + std::to_string(worker));
  }
  return addresses;
}

std::vector<std::vector<std::string>> commands_of(const PeerShape& shape,
                                                  const std::vector<std::string>& addresses) {
  std::vector<std::vector<std::string>> commands;
  for (const std::string& address : addresses) {
    // A stream keeps a thread of the server for as long as it lasts.
    commands.push_back({kPython, "-B", python_program("grpc_server"), SLOTRING_PEERS_GENERATED,
                        std::string(to_string(shape.job)), address, std::to_string(shape.clients)});
  }
  return commands;
}

std::shared_ptr<grpc::Channel> open_channel(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void fail(const grpc::Status& status) {
  throw Exception(Error{ErrorCode::kInternal, "gRPC: " + status.error_message()});
}

void copy_reply(const Payload& payload, bench::Space reply) {
  if (payload.data().size() != reply.size()) {
    throw Exception(Error{ErrorCode::kBadFrame, "gRPC: the reply has another size"});
  }
  std::memcpy(reply.data(), payload.data().data(), reply.size());
}

class UnaryExchange : public bench::Exchange {
 public:
  explicit UnaryExchange(const std::string& address)
      : stub_(Worker::NewStub(open_channel(address))) {}

  void call(bench::Bytes request, bench::Space reply) override {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    request_.set_data(request.data(), request.size());
    if (const grpc::Status status = stub_->Call(&context, request_, &reply_); !status.ok()) {
      fail(status);
    }
    copy_reply(reply_, reply);
  }

 private:
  std::unique_ptr<Worker::Stub> stub_;
  Payload request_;  // kept: their memory is used again
  Payload reply_;
};

class StreamExchange : public bench::Exchange {
 public:
  explicit StreamExchange(const std::string& address)
      : stub_(Worker::NewStub(open_channel(address))), stream_(stub_->Converse(&context_)) {}

  ~StreamExchange() override {
    if (ended_) return;
    stream_->WritesDone();
    stream_->Finish();
  }

  void call(bench::Bytes request, bench::Space reply) override {
    request_.set_data(request.data(), request.size());
    if (!stream_->Write(request_) || !stream_->Read(&reply_)) {
      ended_ = true;
      fail(stream_->Finish());
    }
    copy_reply(reply_, reply);
  }

 private:
  std::unique_ptr<Worker::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<Payload, Payload>> stream_;
  bool ended_ = false;
  Payload request_;
  Payload reply_;
};

class GrpcTransport : public bench::Transport {
 public:
  GrpcTransport(const PeerShape& shape, Way way)
      : way_(way),
        addresses_(addresses_of(shape)),
        servers_(commands_of(shape, addresses_), shape.folder + "/" + shape.name + ".log") {}

  std::vector<pid_t> servers() const override { return servers_.pids(); }

  // gRPC does not survive a fork: nothing of it is used before this, in the client's process.
  std::unique_ptr<bench::Exchange> connect(int client) override {
    const std::string& address = addresses_[static_cast<std::size_t>(client) % addresses_.size()];
    if (way_ == Way::kUnary) return std::make_unique<UnaryExchange>(address);
    return std::make_unique<StreamExchange>(address);
  }

 private:
  Way way_;
  std::vector<std::string> addresses_;
  ServerProcesses servers_;
};

Peer grpc_peer(std::string name, std::string description, Way way) {
  return {std::move(name), std::move(description),
          [way](const PeerShape& shape) { return std::make_unique<GrpcTransport>(shape, way); },
          why_no_module("grpc", "python3-grpcio")};
}

}  // namespace

Peer grpc_unary_peer() { return grpc_peer("grpc-unary", "gRPC, a call a message", Way::kUnary); }

Peer grpc_stream_peer() { return grpc_peer("grpc-stream", "gRPC, one stream", Way::kStream); }

}  // namespace slotring::peers
