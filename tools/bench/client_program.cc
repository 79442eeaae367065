#include "tools/bench/client_program.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include <nlohmann/json.hpp>

#include "client_lib/shm/memory.h"

namespace slotring::bench {

using nlohmann::json;
using shm::MonotonicNs;

namespace {

constexpr MonotonicNs kPatienceNs = 60'000'000'000;

}  // namespace

ClientProgram::ClientProgram(const ProgramStart& start, const ClientProgramShape& shape)
    : log_(start.log), patience_until_(shm::monotonic_now() + kPatienceNs) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw Exception(shm::system_error("socketpair", errno));
  }
  socket_.reset(ends[0]);
  {
    const shm::UniqueFd inherited(ends[1]);
    process_ = ChildProcess::start(start.command, log_, &inherited);
  }
  const json described = {{"clients", shape.clients},
                          {"payload_bytes", shape.payload_bytes},
                          {"gap_ns", shape.gap_ns},
                          {"client_cpus", shape.seats.client_cpus},
                          {"server_cpus", shape.seats.server_cpus}};
  write_line(described.dump());
  const json connected = json::parse(read_line());
  for (const char* role : {"clients", "servers"}) {
    for (const json& pid : connected.at(role)) processes_.push_back(pid.get<pid_t>());
  }
}

void ClientProgram::let_go(MonotonicNs begin, MonotonicNs end) {
  patience_until_ = end + kPatienceNs;
  write_line(json({{"begin_ns", begin}, {"end_ns", end}}).dump());
}

void ClientProgram::await_replies() {
  const json measured = json::parse(read_line());
  measured.at("calls").get_to(calls_);
  measured.at("took_ns").get_to(took_ns_);
}

MonotonicNs ClientProgram::read_client(LatencyHistogram& latencies) {
  std::array<std::uint64_t, 4096> some;
  for (std::uint64_t left = calls_.at(next_client_); left > 0;) {
    const std::size_t count = std::min<std::uint64_t>(left, some.size());
    read_bytes(some.data(), count * sizeof(some[0]));
    for (std::size_t i = 0; i < count; ++i) latencies.record(some[i]);
    left -= count;
  }
  return took_ns_.at(next_client_++);
}

void ClientProgram::finish() {
  ::shutdown(socket_.get(), SHUT_WR);
  if (!process_.wait()) fail("failed");
}

std::string ClientProgram::read_line() {
  std::string line;
  for (char byte = 0; read_bytes(&byte, 1), byte != '\n';) line += byte;
  return line;
}

void ClientProgram::read_bytes(void* begin, std::size_t size) {
  auto* next = static_cast<std::byte*>(begin);
  while (size > 0) {
    check_interrupted();
    if (shm::monotonic_now() > patience_until_) fail("did not get on in time");
    pollfd waited{socket_.get(), POLLIN, 0};
    if (::poll(&waited, 1, 100) <= 0) continue;
    const ssize_t read = ::read(socket_.get(), next, size);
    if (read <= 0) fail("ended early");
    next += read;
    size -= static_cast<std::size_t>(read);
  }
}

void ClientProgram::write_line(const std::string& line) {
  const std::string whole = line + "\n";  // fits into the socket's buffer: never a part of it
  const ssize_t written = ::send(socket_.get(), whole.data(), whole.size(), MSG_NOSIGNAL);
  if (written != static_cast<ssize_t>(whole.size())) fail("ended early");
}

void ClientProgram::fail(const std::string& what) {
  throw Exception(Error{ErrorCode::kInternal, "the program of the clients " + what +
                                                  "; its log ends with:\n" + end_of_log(log_)});
}

}  // namespace slotring::bench
