// What the supervisor says to peers, said by a test: packets of schemas/attach.fbs over a socket,
// and a listener that lets clients into a LocalPool.

#ifndef SLOTRING_TESTS_SUPPORT_LOCAL_SUPERVISOR_H_
#define SLOTRING_TESTS_SUPPORT_LOCAL_SUPERVISOR_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/peer_socket.h"
#include "tests/support/local_pool.h"
#include "tests/support/temporary_folder.h"

namespace slotring::testing {

// What a Welcome says; by default the truth about `pool`.
struct WelcomeParts {
  explicit WelcomeParts(const LocalPool& pool)
      : geometry(pool.segment().geometry()),
        descriptors{pool.segment().memory().get(), pool.requests().memory().get(),
                    pool.replies().memory().get()} {}

  layout::Geometry geometry;
  std::vector<int> descriptors;
  std::uint32_t index = 0;
  std::uint32_t generation = 1;
};

inline Status send_welcome(int socket, const WelcomeParts& parts) {
  const wire::PoolGeometry geometry = shm::to_wire(parts.geometry);
  flatbuffers::FlatBufferBuilder builder;
  const auto welcome = wire::CreateWelcome(builder, builder.CreateString("local"), ::getpid(),
                                           parts.index, parts.generation, &geometry,
                                           /*instance=*/1, /*supervisor_epoch=*/1);
  return shm::send_packet(socket, builder, wire::Message::Welcome, welcome.Union(),
                          parts.descriptors);
}

inline Status send_refused(int socket, ErrorCode code, const char* message) {
  flatbuffers::FlatBufferBuilder builder;
  const auto refused =
      wire::CreateRefusedDirect(builder, static_cast<std::uint16_t>(code), message);
  return shm::send_packet(socket, builder, wire::Message::Refused, refused.Union());
}

// A socket at `path` that connections wait at.
inline shm::UniqueFd listen_at(const std::string& path, int backlog = 8) {
  shm::UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(listener.get(), backlog), 0);
  return listener;
}

// Lets each client that connects into `pool`, with an index of its own, until destroyed.
class LocalSupervisor {
 public:
  explicit LocalSupervisor(const LocalPool& pool) : pool_(&pool), thread_([this] { serve(); }) {}
  ~LocalSupervisor() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  std::string path() const { return folder_.file("pool"); }
  int goodbyes() const { return goodbyes_.load(); }

 private:
  void serve() {
    WelcomeParts parts(*pool_);
    for (;;) {
      const shm::UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer.valid()) return;
      if (!shm::receive_packet(peer.get(), shm::kNever).ok()) continue;
      EXPECT_TRUE(send_welcome(peer.get(), parts).ok());
      ++parts.index;
      const Result<shm::Packet> last = shm::receive_packet(peer.get(), shm::kNever);
      if (last && last->type() == wire::Message::Goodbye) ++goodbyes_;
    }
  }

  const LocalPool* pool_;
  TemporaryFolder folder_;
  shm::UniqueFd listener_ = listen_at(folder_.file("pool"));
  std::atomic<int> goodbyes_{0};
  std::thread thread_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_LOCAL_SUPERVISOR_H_
