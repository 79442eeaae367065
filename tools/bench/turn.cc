#include "tools/bench/turn.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/unique_fd.h"
#include "tools/bench/child_process.h"
#include "tools/bench/shared_block.h"

namespace slotring::bench {

namespace {

using shm::MonotonicNs;
using shm::UniqueFd;

constexpr MonotonicNs kWarmUpNs = 60'000'000;
constexpr MonotonicNs kStartTimeoutNs = 20'000'000'000;

// What the clients and this process share. Times are written before the clients are let go.
struct TurnBlock {
  MonotonicNs begin;
  MonotonicNs end;
};

struct ClientBlock {
  LatencyHistogram latencies;
  double cpu_seconds;
  double page_faults;
  std::array<char, 512> error;  // empty when all went well
};

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;

  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw Exception(shm::system_error("pipe", errno));
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
};

double own_cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void sleep_until(MonotonicNs time) {
  const timespec until{static_cast<time_t>(time / 1'000'000'000),
                       static_cast<long>(time % 1'000'000'000)};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
    check_interrupted();
  }
}

// A client's calls: until `begin` uncounted, until `end` counted.
class Caller {
 public:
  Caller(Exchange& exchange, std::size_t payload_bytes)
      : exchange_(exchange), request_(payload_bytes, std::byte{0x5A}), reply_(payload_bytes) {}

  void call_until(MonotonicNs end, LatencyHistogram* latencies) {
    MonotonicNs before = shm::monotonic_now();
    while (before < end) {
      ++number_;
      std::memcpy(request_.data(), &number_, sizeof(number_));
      exchange_.call(request_, reply_);
      if (std::memcmp(request_.data(), reply_.data(), request_.size()) != 0) {
        throw Exception(Error{ErrorCode::kBadFrame, "a reply that is not the request"});
      }
      const MonotonicNs after = shm::monotonic_now();
      if (latencies != nullptr) latencies->record(after - before);
      before = after;
    }
  }

 private:
  Exchange& exchange_;
  std::vector<std::byte> request_;
  std::vector<std::byte> reply_;
  std::uint64_t number_ = 0;
};

// The processes of one turn. Clients connect, report by `ready_`, and start when the last writer of
// `start_` closes it.
class Turn {
 public:
  Turn(Transport& transport, const TurnShape& shape)
      : transport_(transport),
        shape_(shape),
        memory_(sizeof(TurnBlock) + sizeof(ClientBlock) * static_cast<std::size_t>(shape.clients)),
        times_(new (memory_.data()) TurnBlock()) {
    auto* blocks = memory_.data() + sizeof(TurnBlock);
    for (int i = 0; i < shape.clients; ++i) {
      blocks_.push_back(new (blocks + sizeof(ClientBlock) * static_cast<std::size_t>(i))
                            ClientBlock());
    }
  }

  TurnResult run() {
    start_clients();
    await_clients();
    times_->begin = shm::monotonic_now() + kWarmUpNs;
    times_->end = times_->begin + static_cast<MonotonicNs>(shape_.seconds * 1e9);
    start_.writer.reset();
    sleep_until(times_->begin);
    const double servers_before = servers_cpu_seconds();
    const double faults_before = servers_page_faults();
    sleep_until(times_->end);
    const double servers_used = servers_cpu_seconds() - servers_before;
    const double servers_faults = servers_page_faults() - faults_before;
    finish_clients();
    return result(servers_used, servers_faults);
  }

 private:
  void start_clients() {
    const Seats seats = choose_seats(shape_.placement);
    for (const pid_t server : transport_.servers()) place(server, seats.server_cpu);
    for (int client = 0; client < shape_.clients; ++client) {
      clients_.push_back(ChildProcess::fork([&, client] { return be_client(client, seats); }));
    }
    ready_.writer.reset();
  }

  int be_client(int client, const Seats& seats) {
    ClientBlock& block = *blocks_[static_cast<std::size_t>(client)];
    try {
      start_.writer.reset();
      place(::getpid(), seats.client_cpu);
      const std::unique_ptr<Exchange> exchange = transport_.connect(client);
      Caller caller(*exchange, shape_.payload_bytes);
      char byte = 0;
      if (::write(ready_.writer.get(), &byte, 1) != 1) return 1;
      if (::read(start_.reader.get(), &byte, 1) != 0) return 1;
      caller.call_until(times_->begin, nullptr);
      const double faults_before = page_faults(::getpid());
      const double cpu_before = own_cpu_seconds();
      caller.call_until(times_->end, &block.latencies);
      block.cpu_seconds = own_cpu_seconds() - cpu_before;
      block.page_faults = page_faults(::getpid()) - faults_before;
      return 0;
    } catch (const std::exception& failure) {
      std::strncpy(block.error.data(), failure.what(), block.error.size() - 1);
      return 1;
    }
  }

  void await_clients() {
    const MonotonicNs deadline = shm::monotonic_now() + kStartTimeoutNs;
    for (int ready = 0; ready < shape_.clients;) {
      check_interrupted();
      pollfd waited{ready_.reader.get(), POLLIN, 0};
      char byte;
      if (::poll(&waited, 1, 100) > 0) {
        if (::read(ready_.reader.get(), &byte, 1) <= 0) return;  // finish_clients() says why
        ++ready;
      } else if (shm::monotonic_now() > deadline) {
        throw Exception(Error{ErrorCode::kDeadlineExceeded, "the clients did not connect in time"});
      }
    }
  }

  void finish_clients() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i].wait()) continue;
      const std::string said = blocks_[i]->error.data();
      throw Exception(Error{ErrorCode::kInternal, "client " + std::to_string(i) + " failed: " +
                                                      (said.empty() ? "it was killed" : said)});
    }
  }

  double servers_cpu_seconds() const {
    double seconds = 0;
    for (const pid_t server : transport_.servers()) seconds += cpu_seconds(server);
    for (const pid_t other : transport_.bystanders()) seconds += cpu_seconds(other);
    return seconds;
  }

  double servers_page_faults() const {
    double faults = 0;
    for (const pid_t server : transport_.servers()) faults += page_faults(server);
    return faults;
  }

  TurnResult result(double servers_used, double servers_faults) const {
    auto all = std::make_unique<LatencyHistogram>();
    double cpu = servers_used;
    double faults = servers_faults;
    std::vector<std::uint64_t> calls_of_each;
    for (const ClientBlock* block : blocks_) {
      all->add(block->latencies);
      cpu += block->cpu_seconds;
      faults += block->page_faults;
      calls_of_each.push_back(block->latencies.total());
    }
    const auto [fewest, most] = std::minmax_element(calls_of_each.begin(), calls_of_each.end());
    const auto calls = static_cast<double>(all->total());
    return {.p50_ns = all->quantile_ns(0.5),
            .p90_ns = all->quantile_ns(0.9),
            .p99_ns = all->quantile_ns(0.99),
            .p999_ns = all->quantile_ns(0.999),
            .calls = all->total(),
            .calls_per_second = calls / shape_.seconds,
            .cpu_us_per_call = calls == 0 ? 0 : cpu * 1e6 / calls,
            .page_faults_per_call = calls == 0 ? 0 : faults / calls,
            .fairness = *most == 0 ? 0 : static_cast<double>(*fewest) / static_cast<double>(*most)};
  }

  Transport& transport_;
  const TurnShape& shape_;
  SharedBlock memory_;
  TurnBlock* times_;
  std::vector<ClientBlock*> blocks_;
  Pipe ready_;
  Pipe start_;
  std::vector<ChildProcess> clients_;
};

// Ends what begin_turn() began, whatever happens between.
class Began {
 public:
  explicit Began(Transport& transport) : transport_(transport) { transport.begin_turn(); }
  Began(const Began&) = delete;
  Began& operator=(const Began&) = delete;
  ~Began() { transport_.end_turn(); }

 private:
  Transport& transport_;
};

}  // namespace

TurnResult run_turn(Transport& transport, const TurnShape& shape) {
  const Began began(transport);
  return Turn(transport, shape).run();
}

double clock_cost_ns() {
  constexpr int kReadings = 20'000;
  const MonotonicNs begin = shm::monotonic_now();
  for (int i = 1; i < kReadings; ++i) (void)shm::monotonic_now();
  return static_cast<double>(shm::monotonic_now() - begin) / kReadings;
}

}  // namespace slotring::bench
