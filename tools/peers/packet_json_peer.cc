// A port program, as Erlang and Elixir start them: packets of four bytes of length, big-endian, and
// JSON, on a worker's standard input and output. Clients that share a worker take turns.

#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <nlohmann/json.hpp>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/unique_fd.h"
#include "tools/bench/child_process.h"
#include "tools/bench/shared_block.h"
#include "tools/peers/base64.h"
#include "tools/peers/peer.h"

namespace slotring::peers {

namespace {

using bench::Bytes;
using bench::Space;
using nlohmann::json;
using shm::UniqueFd;

[[noreturn]] void fail(const char* call) { throw Exception(shm::system_error(call, errno)); }

// Between processes: lies in memory that they share.
class TurnLock {
 public:
  TurnLock() {
    pthread_mutexattr_t shared;
    ::pthread_mutexattr_init(&shared);
    ::pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    ::pthread_mutex_init(&mutex_, &shared);
    ::pthread_mutexattr_destroy(&shared);
  }
  void lock() { ::pthread_mutex_lock(&mutex_); }
  void unlock() { ::pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_;
};

// The pipes to one worker.
struct Port {
  UniqueFd to_worker;
  UniqueFd from_worker;
  bench::ChildProcess worker;
};

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Port start_port(const PeerShape& shape) {
  auto [worker_input, to_worker] = make_pipe();
  auto [from_worker, worker_output] = make_pipe();
  return {.to_worker = std::move(to_worker),
          .from_worker = std::move(from_worker),
          .worker = bench::ChildProcess::start(
              {kPython, python_program("packet_json_worker"), std::string(to_string(shape.job))},
              shape.folder + "/" + shape.name + ".log", nullptr, &worker_input, &worker_output)};
}

std::uint32_t swapped(std::uint32_t length) { return __builtin_bswap32(length); }
static_assert(std::endian::native == std::endian::little);

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void read_all(int fd, char* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t read = ::read(fd, bytes, size);
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) fail("read");
    bytes += read;
    size -= static_cast<std::size_t>(read);
  }
}

std::string packet_of(const json& message) {
  const std::string text = message.dump();
  const std::uint32_t length = swapped(static_cast<std::uint32_t>(text.size()));
  std::string packet(sizeof(length), '\0');
  std::memcpy(packet.data(), &length, sizeof(length));
  return packet += text;
}

class PacketExchange : public bench::Exchange {
 public:
  PacketExchange(const Port& port, TurnLock& turns, bench::Job job)
      : port_(port), turns_(turns), job_(job) {}

  void call(Bytes request, Space reply) override {
    const std::string packet = packet_of(job_ == bench::Job::kEcho ? echo(request) : ask(request));
    const json answer = json::parse(exchange(packet));
    if (job_ == bench::Job::kDigits) {
      reply[0] = static_cast<std::byte>(answer.at("digit").get<int>());
    } else if (!from_base64(answer.at("bytes").get_ref<const std::string&>(), reply)) {
      throw Exception(Error{ErrorCode::kBadFrame, "the echo has another size"});
    }
  }

 private:
  static json echo(Bytes request) { return {{"bytes", to_base64(request)}}; }
  static json ask(Bytes request) {
    std::array<double, bench::kDigitsRequestBytes / sizeof(double)> pixels;
    std::memcpy(pixels.data(), request.data(), sizeof(pixels));
    return {{"image", pixels}};
  }

  std::string exchange(const std::string& packet) {
    const std::lock_guard turn(turns_);
    write_all(port_.to_worker.get(), packet);
    std::uint32_t length = 0;
    read_all(port_.from_worker.get(), reinterpret_cast<char*>(&length), sizeof(length));
    std::string answer(swapped(length), '\0');
    read_all(port_.from_worker.get(), answer.data(), answer.size());
    return answer;
  }

  const Port& port_;
  TurnLock& turns_;
  bench::Job job_;
};

class PacketJsonTransport : public bench::Transport {
 public:
  explicit PacketJsonTransport(const PeerShape& shape)
      : job_(shape.job), locks_(sizeof(TurnLock) * static_cast<std::size_t>(shape.workers)) {
    for (int worker = 0; worker < shape.workers; ++worker) {
      new (&turns_of(worker)) TurnLock();
      ports_.push_back(start_port(shape));
    }
    std::vector<std::byte> request(job_ == bench::Job::kEcho ? sizeof(double)
                                                             : bench::kDigitsRequestBytes);
    std::vector<std::byte> reply(bench::reply_bytes(job_, request.size()));
    for (int worker = 0; worker < shape.workers; ++worker) connect(worker)->call(request, reply);
  }

  std::vector<pid_t> servers() const override {
    std::vector<pid_t> pids;
    for (const Port& port : ports_) pids.push_back(port.worker.pid());
    return pids;
  }

  std::unique_ptr<bench::Exchange> connect(int client) override {
    const int worker = client % static_cast<int>(ports_.size());
    return std::make_unique<PacketExchange>(ports_[static_cast<std::size_t>(worker)],
                                            turns_of(worker), job_);
  }

 private:
  TurnLock& turns_of(int worker) const {
    return reinterpret_cast<TurnLock*>(locks_.data())[worker];
  }

  bench::Job job_;
  bench::SharedBlock locks_;
  std::vector<Port> ports_;
};

}  // namespace

Peer packet_json_peer() {
  return {"packet-json", "4-byte packets and JSON on stdio, plain Python",
          [](const PeerShape& shape) { return std::make_unique<PacketJsonTransport>(shape); }, ""};
}

}  // namespace slotring::peers
