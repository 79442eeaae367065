#include "tools/bench/socket_transport.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <thread>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/unique_fd.h"
#include "tools/bench/embedded_python.h"

namespace slotring::bench {

namespace {

using shm::UniqueFd;

constexpr std::chrono::seconds kStartTimeout(60);  // a job may import much

[[noreturn]] void fail(const char* call) { throw Exception(shm::system_error(call, errno)); }

// An invalid descriptor while nobody listens.
UniqueFd try_connect(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) fail("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return socket;
  }
  if (errno != ENOENT && errno != ECONNREFUSED) fail("connect");
  return UniqueFd();
}

class SocketExchange : public Exchange {
 public:
  explicit SocketExchange(UniqueFd socket) : socket_(std::move(socket)) {}

  void call(Bytes request, Space reply) override {
    auto size = static_cast<std::uint32_t>(request.size());
    iovec parts[] = {{&size, sizeof(size)},
                     {const_cast<std::byte*>(request.data()), request.size()}};
    transfer(parts, ::writev, "writev");
    std::uint32_t replied_size = 0;
    iovec reply_parts[] = {{&replied_size, sizeof(replied_size)}, {reply.data(), reply.size()}};
    transfer(reply_parts, ::readv, "readv");
  }

 private:
  // Writes or reads both parts wholly; mostly in one system call.
  template <class Call>
  void transfer(iovec (&parts)[2], Call move, const char* name) {
    for (iovec* next = parts; next != parts + 2;) {
      const ssize_t moved = move(socket_.get(), next, static_cast<int>(parts + 2 - next));
      if (moved < 0 && errno == EINTR) continue;
      if (moved <= 0) fail(name);
      auto left = static_cast<std::size_t>(moved);
      for (; next != parts + 2 && left >= next->iov_len; ++next) left -= next->iov_len;
      if (left > 0) {
        next->iov_base = static_cast<std::byte*>(next->iov_base) + left;
        next->iov_len -= left;
      }
    }
  }

  UniqueFd socket_;
};

}  // namespace

SocketTransport::SocketTransport(const std::string& folder, const std::string& name, int servers,
                                 int clients, const std::vector<std::string>& job)
    : prefix_(folder + "/" + name) {
  const std::string script = folder + "/socket_echo.py";
  std::ofstream(script) << kSocketEchoPy;
  for (int server = 0; server < servers; ++server) {
    std::vector<std::string> command = {"/usr/bin/python3", script, socket_path(server),
                                        std::to_string(clients / servers)};
    command.insert(command.end(), job.begin(), job.end());
    servers_.push_back(ChildProcess::start(command, prefix_ + ".log"));
  }
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  for (int server = 0; server < servers; ++server) {
    while (!try_connect(socket_path(server)).valid()) {
      check_interrupted();
      if (std::chrono::steady_clock::now() > deadline ||
          !servers_[static_cast<std::size_t>(server)].running()) {
        throw Exception(Error{ErrorCode::kWorkerUnavailable,
                              "the socket server did not start; its log ends with:\n" +
                                  end_of_log(prefix_ + ".log")});
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

std::vector<pid_t> SocketTransport::servers() const {
  std::vector<pid_t> pids;
  for (const ChildProcess& server : servers_) pids.push_back(server.pid());
  return pids;
}

std::unique_ptr<Exchange> SocketTransport::connect(int client) {
  UniqueFd socket = try_connect(socket_path(client % static_cast<int>(servers_.size())));
  if (!socket.valid()) throw Exception(Error{ErrorCode::kWorkerUnavailable, "no socket server"});
  return std::make_unique<SocketExchange>(std::move(socket));
}

std::string SocketTransport::socket_path(int server) const {
  return prefix_ + "-" + std::to_string(server) + ".sock";
}

}  // namespace slotring::bench
