// A worker of a seat without Python, in a process of its own: joins a pool, is published, and meets
// supervisors until it is killed. The test is its first supervisor.

#ifndef SLOTRING_TESTS_SUPPORT_SEAT_WORKER_H_
#define SLOTRING_TESTS_SUPPORT_SEAT_WORKER_H_

#include <sys/socket.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/supervisor_link.h"
#include "supervisor/handshake.h"
#include "supervisor/seat_sockets.h"
#include "tests/support/child_process.h"

namespace slotring::testing {

class SeatWorker {
 public:
  SeatWorker(supervisor::SeatSockets& sockets, const supervisor::PoolMemory& memory,
             shm::SeatIndex seat, const std::string& pool)
      : seat_socket_(sockets.listen(seat).value()), sockets_(make_pair()), process_([this] {
          serve();
          return true;
        }) {
    sockets_[1].reset();
    seat_socket_.reset();
    const int socket = sockets_[0].get();
    EXPECT_NE(shm::receive_packet(socket, shm::kNever)->as<wire::Hello>(), nullptr);
    EXPECT_TRUE(supervisor::send_welcome(socket, wire::Role::Worker, pool, memory, {seat, 3}).ok());
    EXPECT_NE(shm::receive_packet(socket, shm::kNever)->as<wire::Ready>(), nullptr);
    const std::vector<supervisor::MethodId> ids{1};
    EXPECT_TRUE(supervisor::send_published(socket, ids).ok());
  }

  pid_t pid() const { return process_.pid(); }
  // To its supervisor: the test.
  int socket() const { return sockets_[0].get(); }
  void lose_supervisor() { sockets_[0].reset(); }

 private:
  static std::vector<shm::UniqueFd> make_pair() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    std::vector<shm::UniqueFd> both;
    both.emplace_back(ends[0]);
    both.emplace_back(ends[1]);
    return both;
  }
  void serve() {
    sockets_[0].reset();
    shm::SupervisorLink link(std::move(sockets_[1]), std::move(seat_socket_));
    const Result<shm::WorkerSeat> seat = link.attach("worker", shm::kNever);
    if (!seat || !link.publish({"ping"}, "none", shm::kNever)) return;
    bool draining = false;
    link.watch({.draining = [&] { return draining; },
                .on_drain = [&] { draining = true; },
                .on_signal = [] {}},
               shm::kNever);
  }

  shm::UniqueFd seat_socket_;
  std::vector<shm::UniqueFd> sockets_;
  ChildProcess process_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_SEAT_WORKER_H_
