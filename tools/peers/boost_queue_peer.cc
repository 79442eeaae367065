// Boost.Interprocess: the queue of boost_queue.h in a shared_memory_object, served by Python
// processes (python/boost_queue_server.py) whose extension waits on the queue's semaphore.

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>

#include "slotring/result.h"
#include "tools/bench/transport.h"
#include "tools/peers/boost_queue.h"
#include "tools/peers/peer.h"
#include "tools/peers/server_processes.h"

namespace slotring::peers {

namespace {

namespace bip = boost::interprocess;

constexpr long kPatienceSeconds = 30;

// Shared memory that has a name for as long as this object lives.
class NamedMemory {
 public:
  NamedMemory(std::string name, std::size_t bytes)
      : name_(std::move(name)), memory_(bip::create_only, name_.c_str(), bip::read_write) {
    memory_.truncate(static_cast<bip::offset_t>(bytes));
  }
  NamedMemory(const NamedMemory&) = delete;
  NamedMemory& operator=(const NamedMemory&) = delete;
  ~NamedMemory() { bip::shared_memory_object::remove(name_.c_str()); }

  bip::mapped_region map() const { return {memory_, bip::read_write}; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  bip::shared_memory_object memory_;
};

std::vector<std::vector<std::string>> commands_of(const PeerShape& shape, const std::string& name) {
  const std::vector<std::string> command = {kPython,
                                            "-B",
                                            python_program("boost_queue_server"),
                                            SLOTRING_PEERS_EXTENSIONS,
                                            std::string(to_string(shape.job)),
                                            name};
  return {static_cast<std::size_t>(shape.workers), command};
}

class BoostQueueExchange : public bench::Exchange {
 public:
  BoostQueueExchange(BoostQueue queue, std::uint32_t client) : queue_(queue), client_(client) {}

  void call(bench::Bytes request, bench::Space reply) override {
    BoostQueue::Slot& slot = queue_.slot(client_);
    if (std::max(request.size(), reply.size()) > queue_.payload_bytes()) {
      throw Exception(Error{ErrorCode::kInvalidArgument, "Boost: larger than a slot"});
    }
    std::memcpy(queue_.request(client_), request.data(), request.size());
    slot.request_bytes = request.size();
    queue_.push(client_);
    const boost::posix_time::ptime until = boost::posix_time::microsec_clock::universal_time() +
                                           boost::posix_time::seconds(kPatienceSeconds);
    if (!slot.replied.timed_wait(until)) {
      throw Exception(Error{ErrorCode::kDeadlineExceeded, "Boost: no reply came"});
    }
    if (slot.reply_bytes != reply.size()) {
      throw Exception(Error{ErrorCode::kBadFrame, "Boost: the reply has another size"});
    }
    std::memcpy(reply.data(), queue_.reply(client_), reply.size());
  }

 private:
  BoostQueue queue_;
  std::uint32_t client_;
};

class BoostQueueTransport : public bench::Transport {
 public:
  explicit BoostQueueTransport(const PeerShape& shape) {
    const auto clients = static_cast<std::uint32_t>(shape.clients);
    if (clients > BoostQueue::kMostClients) {
      throw Exception(Error{ErrorCode::kInvalidArgument, "Boost: too many clients"});
    }
    const std::size_t bytes = BoostQueue::block_bytes(clients, shape.payload_bytes);
    // The folder's name is this run's alone. Clients inherit the mapping, so that the name, which
    // would outlive a process that is killed, can go as soon as the servers have the memory too.
    const std::string folder = std::filesystem::path(shape.folder).filename();
    const NamedMemory memory(folder + "-" + shape.name, bytes);
    region_ = memory.map();
    BoostQueue::create(region_.get_address(), clients, shape.payload_bytes);
    servers_ = std::make_unique<ServerProcesses>(commands_of(shape, memory.name()),
                                                 shape.folder + "/" + shape.name + ".log");
  }

  std::vector<pid_t> servers() const override { return servers_->pids(); }
  std::unique_ptr<bench::Exchange> connect(int client) override {
    return std::make_unique<BoostQueueExchange>(BoostQueue(region_.get_address()),
                                                static_cast<std::uint32_t>(client));
  }

 private:
  bip::mapped_region region_;
  std::unique_ptr<ServerProcesses> servers_;
};

}  // namespace

Peer boost_queue_peer() {
  return {"boost-queue", "Boost.Interprocess, a queue in shared memory",
          [](const PeerShape& shape) { return std::make_unique<BoostQueueTransport>(shape); }, ""};
}

}  // namespace slotring::peers
