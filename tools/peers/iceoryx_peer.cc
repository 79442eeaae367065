// iceoryx' request-response, C++ at both ends: what shared memory allows without Python.
//
// UntypedClient and UntypedServer, each in a WaitSet, as in iceoryx' examples. A service has one
// server: client n takes server n modulo their number (iceoryx_server.cc). RouDi, iceoryx' daemon,
// hands out the memory; there can be one on a machine, and it wakes several times a second, so it
// and the servers run during turns only. They do not watch each other's signs of life: a process
// that gets no CPU for a second would be taken for dead.

#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/untyped_client.hpp"
#include "iceoryx_posh/popo/wait_set.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"
#include "slotring/result.h"
#include "tools/bench/child_process.h"
#include "tools/bench/transport.h"
#include "tools/peers/iceoryx_service.h"
#include "tools/peers/peer.h"
#include "tools/peers/server_processes.h"

namespace slotring::peers {

namespace {

using iox::units::Duration;

constexpr std::chrono::seconds kPatience(30);
constexpr std::chrono::seconds kPatienceWithOthers(5);

void remove_file(const std::string& file) {
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
}

// RouDi, with room for what clients and servers hold at once.
class Roudi {
 public:
  explicit Roudi(const PeerShape& shape) : Roudi() {  // so that the destructor runs after a throw
    const std::string prefix = shape.folder + "/" + shape.name;
    write_config(prefix + ".toml", shape);
    start(prefix + ".toml", prefix + "-roudi.log");
  }
  Roudi(const Roudi&) = delete;
  Roudi& operator=(const Roudi&) = delete;
  // RouDi 2.0.3 aborts or hangs when it is to end while it knows of processes that are gone, as
  // clients are. So it is killed, and what it leaves is removed: before, because another RouDi may
  // start as soon as this one is gone, with files of the same names.
  ~Roudi() {
    const bool runs = process_.running();
    if (runs) ::kill(process_.pid(), SIGSTOP);
    if (runs || serves_) remove_files();
    if (runs) ::kill(process_.pid(), SIGKILL);
    process_.end();
  }

  pid_t pid() const { return process_.pid(); }

 private:
  Roudi() = default;

  // Another RouDi may be that of a turn of somebody else's comparison, which ends soon.
  void start(const std::string& config, const std::string& log) {
    const auto deadline = std::chrono::steady_clock::now() + kPatienceWithOthers;
    while (!try_start(config, log)) {
      if (std::chrono::steady_clock::now() > deadline) {
        throw Exception(Error{ErrorCode::kWorkerUnavailable,
                              "iceoryx' RouDi did not start; does another one run? Its log ends "
                              "with:\n" +
                                  bench::end_of_log(log)});
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  // Returns whether it serves; if not, it has ended.
  bool try_start(const std::string& config, const std::string& log) {
    remove_file(log);
    // Forked, not ChildProcess::start(): that would have SIGTERM end RouDi when this process dies.
    process_ = bench::ChildProcess::fork([&] { return become_roudi(config, log); });
    while (process_.running()) {
      bench::check_interrupted();
      serves_ = bench::end_of_log(log).find("RouDi is ready for clients") != std::string::npos;
      if (serves_) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  static void remove_files() {
    const group* own_group = ::getgrgid(::getegid());
    if (own_group != nullptr) remove_file(std::string("/dev/shm/") + own_group->gr_name);
    for (const char* file :
         {"/dev/shm/iceoryx_mgmt", "/tmp/roudi", "/tmp/roudi.lock", "/tmp/iox-unique-roudi.lock"}) {
      remove_file(file);
    }
  }

  static int become_roudi(const std::string& config, const std::string& log) {
    ::setpgid(0, 0);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(output, 1);
    ::dup2(output, 2);
    ::close_range(3, ~0U, 0);
    ::execl(SLOTRING_ROUDI, SLOTRING_ROUDI, "--config-file", config.c_str(), "--monitoring-mode",
            "off", nullptr);
    return 127;
  }

  static void write_config(const std::string& file, const PeerShape& shape) {
    constexpr std::size_t kChunksEach = 3;  // one in use, one that is kept, one to spare
    const auto participants = static_cast<std::size_t>(shape.clients + shape.workers);
    // A chunk is a multiple of 8 bytes, which its header and the alignment are part of.
    const std::size_t bytes = (shape.payload_bytes + 256 + 63) / 64 * 64;
    std::ofstream(file) << "[general]\nversion = 1\n\n[[segment]]\n\n[[segment.mempool]]\nsize = "
                        << bytes << "\ncount = " << kChunksEach * participants << "\n";
  }

  bench::ChildProcess process_;
  bool serves_ = false;
};

[[noreturn]] void fail(ErrorCode code, const std::string& what) {
  throw Exception(Error{code, "iceoryx: " + what});
}

class IceoryxExchange : public bench::Exchange {
 public:
  explicit IceoryxExchange(const std::string& instance) : client_(iceoryx_service(instance)) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (client_.getConnectionState() != iox::ConnectionState::CONNECTED) {
      if (std::chrono::steady_clock::now() > deadline) {
        fail(ErrorCode::kDeadlineExceeded, "the client is not connected");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (waiting_.attachState(client_, iox::popo::ClientState::HAS_RESPONSE).has_error()) {
      fail(ErrorCode::kInternal, "the client cannot be waited for");
    }
  }

  void call(bench::Bytes request, bench::Space reply) override {
    send(request);
    // A wait that returns nothing may have been woken by a reply that is taken already.
    std::chrono::steady_clock::time_point deadline;
    while (!try_take(reply)) {
      if (!waiting_.timedWait(Duration::fromSeconds(kPatience.count())).empty()) continue;
      const auto now = std::chrono::steady_clock::now();
      if (deadline == std::chrono::steady_clock::time_point()) deadline = now + kPatience;
      if (now > deadline) fail(ErrorCode::kDeadlineExceeded, "no reply came");
    }
  }

 private:
  // iceoryx' and_then() and or_else() let no exception pass.
  void send(bench::Bytes request) {
    auto loaned = client_.loan(static_cast<std::uint32_t>(request.size()), kPayloadAlignment);
    if (loaned.has_error()) fail(ErrorCode::kOutOfMemory, "no chunk is free");
    std::memcpy(loaned.value(), request.data(), request.size());
    if (client_.send(loaned.value()).has_error()) {
      fail(ErrorCode::kInternal, "the request cannot be sent");
    }
  }

  bool try_take(bench::Space reply) {
    const auto taken = client_.take();
    if (taken.has_error()) return false;
    const void* payload = taken.value();
    const bool right_size = payload_bytes(payload) == reply.size();
    if (right_size) std::memcpy(reply.data(), payload, reply.size());
    client_.releaseResponse(payload);
    if (!right_size) fail(ErrorCode::kBadFrame, "the reply has another size");
    return true;
  }

  iox::popo::UntypedClient client_;
  iox::popo::WaitSet<> waiting_;
};

class IceoryxTransport : public bench::Transport {
 public:
  // REQUIRES: the job is the echo; there is no Python for another.
  explicit IceoryxTransport(const PeerShape& shape)
      : shape_(shape),
        // The folder's name is this run's alone.
        prefix_(std::filesystem::path(shape.folder).filename().string() + "-" + shape.name + "-") {
    begin_turn();  // tells now whether it can
    end_turn();
  }
  ~IceoryxTransport() override { end_turn(); }

  void begin_turn() override {
    roudi_ = std::make_unique<Roudi>(shape_);
    servers_ =
        std::make_unique<ServerProcesses>(commands(), shape_.folder + "/" + shape_.name + ".log");
  }

  // A process that ends without a farewell leaves its socket, and RouDi leaves it there.
  void end_turn() override {
    servers_.reset();
    roudi_.reset();
    for (int i = 0; i < shape_.workers; ++i) remove_socket(server_name(i));
    for (int i = 0; i < shape_.clients; ++i) remove_socket(client_name(i));
  }

  std::vector<pid_t> servers() const override { return servers_->pids(); }
  std::vector<pid_t> bystanders() const override { return {roudi_->pid()}; }

  // The runtime is one a process and has threads: it begins in the client's.
  std::unique_ptr<bench::Exchange> connect(int client) override {
    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
        iox::log::LogLevel::kError, iox::log::LogLevelOutput::kHideLogLevel);
    iox::runtime::PoshRuntime::initRuntime({iox::cxx::TruncateToCapacity, client_name(client)});
    return std::make_unique<IceoryxExchange>(server_name(client % shape_.workers));
  }

 private:
  std::vector<std::vector<std::string>> commands() const {
    std::vector<std::vector<std::string>> commands;
    for (int i = 0; i < shape_.workers; ++i) {
      commands.push_back({SLOTRING_ICEORYX_SERVER, server_name(i), server_name(i)});
    }
    return commands;
  }

  static void remove_socket(const std::string& runtime) {
    remove_file("/tmp/" + runtime);
    remove_file("/tmp/" + runtime + ".lock");
  }

  std::string server_name(int server) const { return prefix_ + "server-" + std::to_string(server); }
  std::string client_name(int client) const { return prefix_ + "client-" + std::to_string(client); }

  PeerShape shape_;
  std::string prefix_;
  std::unique_ptr<Roudi> roudi_;
  std::unique_ptr<ServerProcesses> servers_;
};

}  // namespace

Peer iceoryx_peer() {
  return {.name = "iceoryx",
          .description = "iceoryx, C++ both ends",
          .make = [](const PeerShape& shape) { return std::make_unique<IceoryxTransport>(shape); },
          .why_missing = "",
          .fits = [](const PeerShape& shape) { return shape.job == bench::Job::kEcho; }};
}

}  // namespace slotring::peers
