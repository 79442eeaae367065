// NATS over the loopback interface: requests to a subject, and Python servers in a queue group.
//
// The request-reply pattern of NATS' documentation, by its C client at both ends: Debian has no
// NATS client for Python, so python/nats_server.py calls the C one by ctypes, which is faster than
// the Python client would be. nats-server's payload limit, 1 MB, is raised.

#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nats/nats.h>
#include <nlohmann/json.hpp>

#include "slotring/result.h"
#include "tools/bench/child_process.h"
#include "tools/bench/transport.h"
#include "tools/peers/peer.h"
#include "tools/peers/server_processes.h"

namespace slotring::peers {

namespace {

constexpr std::chrono::seconds kStartTimeout(20);
constexpr std::int64_t kPatienceMs = 30'000;
constexpr char kSubject[] = "work";

void check(natsStatus status) {
  if (status == NATS_OK) return;
  throw Exception(Error{ErrorCode::kInternal, std::string("NATS: ") + natsStatus_GetText(status)});
}

// A nats-server on a free port of the loopback interface.
class NatsServer {
 public:
  explicit NatsServer(const PeerShape& shape) {
    const std::string prefix = shape.folder + "/" + shape.name;
    std::ofstream(prefix + ".conf") << "listen: \"127.0.0.1:-1\"\n"
                                    << "ports_file_dir: \"" << shape.folder << "\"\n"
                                    << "max_payload: 64MB\n"
                                    << "max_pending: 1GB\n";
    const std::string log = prefix + "-server.log";
    process_ =
        bench::ChildProcess::start({SLOTRING_NATS_SERVER, "--config", prefix + ".conf"}, log);
    await_url(shape.folder + "/nats-server_" + std::to_string(process_.pid()) + ".ports", log);
  }

  pid_t pid() const { return process_.pid(); }
  const std::string& url() const { return url_; }

 private:
  // The server tells its port in a file.
  void await_url(const std::string& ports_file, const std::string& log) {
    const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
    while (!try_url(ports_file)) {
      bench::check_interrupted();
      if (!process_.running() || std::chrono::steady_clock::now() > deadline) {
        throw Exception(
            Error{ErrorCode::kWorkerUnavailable,
                  "nats-server did not start; its log ends with:\n" + bench::end_of_log(log)});
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  bool try_url(const std::string& ports_file) {
    std::ifstream file(ports_file);
    const auto ports = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
    if (!ports.is_object() || !ports.contains("nats") || ports["nats"].empty()) return false;
    url_ = ports["nats"][0].get<std::string>();
    return true;
  }

  bench::ChildProcess process_;
  std::string url_;
};

std::vector<std::vector<std::string>> commands_of(const PeerShape& shape, const std::string& url) {
  const std::vector<std::string> command = {
      kPython, "-B",    python_program("nats_server"), std::string(to_string(shape.job)),
      url,     kSubject};
  return {static_cast<std::size_t>(shape.workers), command};
}

struct Free {
  void operator()(natsOptions* options) const { natsOptions_Destroy(options); }
  void operator()(natsConnection* connection) const { natsConnection_Destroy(connection); }
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};

class NatsExchange : public bench::Exchange {
 public:
  explicit NatsExchange(const std::string& url) {
    natsOptions* made = nullptr;
    check(natsOptions_Create(&made));
    const std::unique_ptr<natsOptions, Free> options(made);
    check(natsOptions_SetURL(options.get(), url.c_str()));
    // Without it, a request waits for up to a millisecond for more to send.
    check(natsOptions_SetSendAsap(options.get(), true));
    natsConnection* connection = nullptr;
    check(natsConnection_Connect(&connection, options.get()));
    connection_.reset(connection);
  }

  void call(bench::Bytes request, bench::Space reply) override {
    natsMsg* replied = nullptr;
    check(natsConnection_Request(&replied, connection_.get(), kSubject, request.data(),
                                 static_cast<int>(request.size()), kPatienceMs));
    const std::unique_ptr<natsMsg, Free> message(replied);
    if (static_cast<std::size_t>(natsMsg_GetDataLength(replied)) != reply.size()) {
      throw Exception(Error{ErrorCode::kBadFrame, "NATS: the reply has another size"});
    }
    std::memcpy(reply.data(), natsMsg_GetData(replied), reply.size());
  }

 private:
  std::unique_ptr<natsConnection, Free> connection_;
};

class NatsTransport : public bench::Transport {
 public:
  explicit NatsTransport(const PeerShape& shape)
      : server_(shape),
        workers_(commands_of(shape, server_.url()), shape.folder + "/" + shape.name + ".log") {}

  std::vector<pid_t> servers() const override { return workers_.pids(); }
  std::vector<pid_t> bystanders() const override { return {server_.pid()}; }

  // The library starts threads, so nothing of it is used before this, in the client's process.
  std::unique_ptr<bench::Exchange> connect(int /*client*/) override {
    return std::make_unique<NatsExchange>(server_.url());
  }

 private:
  NatsServer server_;
  ServerProcesses workers_;
};

}  // namespace

Peer nats_peer() {
  return {"nats", "NATS, request and reply",
          [](const PeerShape& shape) { return std::make_unique<NatsTransport>(shape); }, ""};
}

}  // namespace slotring::peers
