#include "tests/budget/python_worker.h"

#include <fcntl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "client_lib/shm/peer_socket.h"
#include "tests/support/local_supervisor.h"

namespace slotring::testing {
namespace {

constexpr std::uint64_t kPatienceMs = 60'000;

// Ids go by order.
Status send_published(int socket, std::size_t methods) {
  std::vector<std::uint16_t> ids;
  while (ids.size() < methods) ids.push_back(static_cast<std::uint16_t>(ids.size() + 1));
  flatbuffers::FlatBufferBuilder builder;
  const auto ids_at = builder.CreateVector(ids);
  const auto message = wire::CreatePublished(builder, ids_at);
  return shm::send_packet(socket, builder, wire::Message::Published, message.Union());
}

}  // namespace

PythonWorker::PythonWorker(const LocalPool& pool, std::string_view module)
    : process_([&] {
        become_worker(module);
        return false;
      }) {
  ends_[1].reset();
  if (!process_.reach_exec()) throw std::runtime_error("there is no " SLOTRING_PYTHON_PROGRAM);
  process_.run_freely();
  join(pool);
}

PythonWorker::SocketPair PythonWorker::connected_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::runtime_error("no sockets");
  }
  return {shm::UniqueFd(ends[0]), shm::UniqueFd(ends[1])};
}

// Returns only when it fails.
void PythonWorker::become_worker(std::string_view module) const {
  std::ofstream(folder_.file("served.py")) << module;
  const int socket = ends_[1].get();
  ::fcntl(socket, F_SETFD, 0);
  // What depends on addresses and hashes is the same each time. Where it may not be: only nearly.
  ::personality(ADDR_NO_RANDOMIZE);
  ::setenv("PYTHONHASHSEED", "0", 1);
  ::setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
  ::setenv("PYTHONPATH", (SLOTRING_PACKAGE_FOLDER ":" + folder_.path()).c_str(), 1);
  const std::string number = std::to_string(socket);
  ::execl(SLOTRING_PYTHON_PROGRAM, SLOTRING_PYTHON_PROGRAM, "-m", "slotring.worker", "--module",
          "served", "--socket-fd", number.c_str(), static_cast<char*>(nullptr));
}

void PythonWorker::join(const LocalPool& pool) {
  const int socket = ends_[0].get();
  const auto next = [socket] { return shm::receive_packet(socket, soon(kPatienceMs)).value(); };
  if (next().as<wire::Hello>() == nullptr) throw std::runtime_error("the worker said no Hello");
  const shm::UniqueFd requests = shm::reopen_read_only(pool.requests().memory()).value();
  WelcomeParts parts(pool);
  parts.descriptors[1] = requests.get();
  pool.set_seat(0, layout::SeatState::kStarting);
  send_welcome(socket, parts).value();
  const shm::Packet packet = next();
  const auto* ready = packet.as<wire::Ready>();
  if (ready == nullptr) throw std::runtime_error("the worker is not ready");
  for (const flatbuffers::String* method : *ready->methods()) pool.intern(method->string_view());
  runtime_ = ready->runtime()->str();
  send_published(socket, ready->methods()->size()).value();
  pool.publish(0);
}

}  // namespace slotring::testing
