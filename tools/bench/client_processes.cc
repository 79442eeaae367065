#include "tools/bench/client_processes.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "client_lib/shm/memory.h"
#include "tools/bench/caller.h"

namespace slotring::bench {

using shm::MonotonicNs;

namespace {

constexpr MonotonicNs kPatienceNs = 30'000'000'000;

}  // namespace

// What the clients and this process share. Times are written before the clients are let go.
struct ClientProcesses::Times {
  MonotonicNs begin;
  MonotonicNs end;
};

struct ClientProcesses::ClientBlock {
  LatencyHistogram latencies;
  MonotonicNs took;
  ProcessUsage used;
  std::array<char, 512> error;  // empty when all went well
};

ClientProcesses::Pipe::Pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Exception(shm::system_error("pipe", errno));
  reader.reset(ends[0]);
  writer.reset(ends[1]);
}

ClientProcesses::ClientProcesses(Transport& transport, const TurnShape& shape, const Seats& seats)
    : transport_(transport),
      shape_(shape),
      memory_(sizeof(Times) + sizeof(ClientBlock) * static_cast<std::size_t>(shape.clients)),
      times_(new (memory_.data()) Times()) {
  auto* blocks = memory_.data() + sizeof(Times);
  for (int i = 0; i < shape.clients; ++i) {
    blocks_.push_back(new (blocks + sizeof(ClientBlock) * static_cast<std::size_t>(i))
                          ClientBlock());
  }
  for (int client = 0; client < shape_.clients; ++client) {
    clients_.push_back(
        ChildProcess::fork([&, client] { return be_client(client, seats.client_cpu(client)); }));
  }
  reports_.writer.reset();
  await_reports("the clients did not connect in time");
}

void ClientProcesses::let_go(MonotonicNs begin, MonotonicNs end) {
  times_->begin = begin;
  times_->end = end;
  start_.writer.reset();
}

void ClientProcesses::finish(TurnMeasure& measured) {
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    const ClientBlock& block = *blocks_[i];
    if (!clients_[i].wait()) {
      const std::string said = block.error.data();
      throw Exception(Error{ErrorCode::kInternal, "client " + std::to_string(i) + " failed: " +
                                                      (said.empty() ? "it was killed" : said)});
    }
    measured.add(block.latencies, block.took);
    measured.used += block.used;
  }
}

int ClientProcesses::be_client(int client, std::optional<int> cpu) {
  ClientBlock& block = *blocks_[static_cast<std::size_t>(client)];
  try {
    start_.writer.reset();
    place(::getpid(), cpu);
    const std::unique_ptr<Exchange> exchange = transport_.connect(client);
    // Each begins somewhere else in the questions.
    const std::size_t first = static_cast<std::size_t>(client) * 97;
    Caller caller(*exchange, shape_.payload_bytes, shape_.questions, first, shape_.gap_ns());
    if (!report()) return 1;
    char byte = 0;
    if (::read(start_.reader.get(), &byte, 1) != 0) return 1;
    caller.call_until(times_->begin, nullptr);
    const ProcessUsage before = own_usage();
    block.took = caller.call_until(times_->end, &block.latencies);
    block.used = own_usage();
    block.used -= before;
    return report() ? 0 : 1;
  } catch (const std::exception& failure) {
    std::strncpy(block.error.data(), failure.what(), block.error.size() - 1);
    return 1;
  }
}

bool ClientProcesses::report() {
  const char byte = 0;
  return ::write(reports_.writer.get(), &byte, 1) == 1;
}

void ClientProcesses::await_reports(const char* what_if_not) {
  const auto deadline =
      shm::monotonic_now() + static_cast<MonotonicNs>(shape_.seconds * 1e9) + kPatienceNs;
  for (int reported = 0; reported < shape_.clients;) {
    check_interrupted();
    pollfd waited{reports_.reader.get(), POLLIN, 0};
    char byte;
    if (::poll(&waited, 1, 100) > 0) {
      if (::read(reports_.reader.get(), &byte, 1) <= 0) return;
      ++reported;
    } else if (shm::monotonic_now() > deadline) {
      throw Exception(Error{ErrorCode::kDeadlineExceeded, what_if_not});
    }
  }
}

}  // namespace slotring::bench
