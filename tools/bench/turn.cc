#include "tools/bench/turn.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/unique_fd.h"
#include "tools/bench/caller.h"
#include "tools/bench/child_process.h"
#include "tools/bench/client_program.h"
#include "tools/bench/process_usage.h"
#include "tools/bench/shared_block.h"

namespace slotring::bench {

namespace {

using shm::MonotonicNs;
using shm::UniqueFd;

constexpr MonotonicNs kWarmUpNs = 60'000'000;
constexpr MonotonicNs kPatienceNs = 30'000'000'000;

// What the clients and this process share. Times are written before the clients are let go.
struct TurnBlock {
  MonotonicNs begin;
  MonotonicNs end;
};

struct ClientBlock {
  LatencyHistogram latencies;
  MonotonicNs took;
  ProcessUsage used;
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

// Of both kinds of clients together, once they have ended.
struct Measured {
  LatencyHistogram latencies;
  ProcessUsage used;
  double calls_per_second = 0;
  std::vector<std::uint64_t> calls_of_each;
  double others_cpu_share = 0;

  void add(const LatencyHistogram& of_client, MonotonicNs took) {
    latencies.add(of_client);
    calls_of_each.push_back(of_client.total());
    calls_per_second += static_cast<double>(of_client.total()) * 1e9 / static_cast<double>(took);
  }
};

TurnResult result_of(const Measured& measured) {
  const LatencyHistogram& all = measured.latencies;
  const auto calls = static_cast<double>(all.total());
  const auto a_call = [&](double figure) { return calls == 0 ? 0 : figure / calls; };
  const auto [fewest, most] = std::ranges::minmax(measured.calls_of_each);
  return {.p50_ns = all.quantile_ns(0.5),
          .p90_ns = all.quantile_ns(0.9),
          .p99_ns = all.quantile_ns(0.99),
          .p999_ns = all.quantile_ns(0.999),
          .p9999_ns = all.quantile_ns(0.9999),
          .calls = all.total(),
          .calls_per_second = measured.calls_per_second,
          .cpu_us_per_call = a_call(measured.used.cpu_seconds * 1e6),
          .page_faults_per_call = a_call(measured.used.page_faults),
          .wake_ups_per_call = a_call(measured.used.wake_ups),
          .fairness = most == 0 ? 0 : static_cast<double>(fewest) / static_cast<double>(most),
          .others_cpu_share = measured.others_cpu_share};
}

MonotonicNs gap_ns(const TurnShape& shape) { return static_cast<MonotonicNs>(shape.gap_us * 1e3); }

// The client processes of one turn. They connect, report by `reports_`, start when the last writer
// of `start_` closes it, and report again when they have the last reply.
class Clients {
 public:
  Clients(Transport& transport, const TurnShape& shape, const Seats& seats)
      : transport_(transport),
        shape_(shape),
        memory_(sizeof(TurnBlock) + sizeof(ClientBlock) * static_cast<std::size_t>(shape.clients)),
        times_(new (memory_.data()) TurnBlock()) {
    auto* blocks = memory_.data() + sizeof(TurnBlock);
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

  void let_go(MonotonicNs begin, MonotonicNs end) {
    times_->begin = begin;
    times_->end = end;
    start_.writer.reset();
  }

  void await_replies() { await_reports("the clients' last replies did not come in time"); }

  void finish(Measured& measured) {
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

 private:
  int be_client(int client, std::optional<int> cpu) {
    ClientBlock& block = *blocks_[static_cast<std::size_t>(client)];
    try {
      start_.writer.reset();
      place(::getpid(), cpu);
      const std::unique_ptr<Exchange> exchange = transport_.connect(client);
      // Each begins somewhere else in the questions.
      const std::size_t first = static_cast<std::size_t>(client) * 97;
      Caller caller(*exchange, shape_.payload_bytes, shape_.questions, first, gap_ns(shape_));
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

  bool report() {
    const char byte = 0;
    return ::write(reports_.writer.get(), &byte, 1) == 1;
  }

  // One of each client; fewer when one failed, which finish() says.
  void await_reports(const char* what_if_not) {
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

  Transport& transport_;
  const TurnShape& shape_;
  SharedBlock memory_;
  TurnBlock* times_;
  std::vector<ClientBlock*> blocks_;
  Pipe reports_;
  Pipe start_;
  std::vector<ChildProcess> clients_;
};

// What computes beside a turn that is to be measured under load.
class BusyProcesses {
 public:
  explicit BusyProcesses(int count) {
    for (int i = 0; i < count; ++i) {
      processes_.push_back(ChildProcess::fork([]() -> int {
        for (volatile std::uint64_t number = 0;;) number = number * 3 + 1;
      }));
    }
  }

  double cpu_seconds() const {
    double seconds = 0;
    for (const ChildProcess& process : processes_) seconds += usage_of(process.pid()).cpu_seconds;
    return seconds;
  }

 private:
  std::vector<ChildProcess> processes_;
};

// How busy all CPUs are from its making on.
class CpuWatch {
 public:
  struct Seen {
    double busy_seconds;  // without the busy processes
    double elapsed_seconds;

    double others_share(double own_seconds) const {
      const auto cpus = static_cast<double>(std::thread::hardware_concurrency());
      return std::max(0.0, busy_seconds - own_seconds) / (elapsed_seconds * cpus);
    }
  };

  explicit CpuWatch(const BusyProcesses& busy)
      : busy_(busy), begin_(shm::monotonic_now()), before_(used()) {}

  Seen look() const {
    return {used() - before_, static_cast<double>(shm::monotonic_now() - begin_) / 1e9};
  }

 private:
  double used() const { return busy_cpu_seconds() - busy_.cpu_seconds(); }

  const BusyProcesses& busy_;
  MonotonicNs begin_;
  double before_;
};

struct Times {
  MonotonicNs begin;
  MonotonicNs end;

  explicit Times(double seconds)
      : begin(shm::monotonic_now() + kWarmUpNs),
        end(begin + static_cast<MonotonicNs>(seconds * 1e9)) {}
};

std::unique_ptr<Measured> run_processes(Transport& transport, const TurnShape& shape,
                                        const BusyProcesses& busy) {
  auto measured = std::make_unique<Measured>();  // has a histogram: large
  std::vector<pid_t> servers = transport.servers();
  const Seats seats =
      choose_seats(shape.placement, shape.clients, static_cast<int>(servers.size()));
  for (std::size_t i = 0; i < servers.size(); ++i) {
    place(servers[i], seats.server_cpu(static_cast<int>(i)));
  }
  const std::vector<pid_t> bystanders = transport.bystanders();
  servers.insert(servers.end(), bystanders.begin(), bystanders.end());
  Clients clients(transport, shape, seats);
  const Times times(shape.seconds);
  clients.let_go(times.begin, times.end);
  sleep_until(times.begin);
  const CpuWatch watch(busy);
  const ProcessUsage before = usage_of_all(servers);
  sleep_until(times.end);
  clients.await_replies();
  measured->used = usage_of_all(servers);
  measured->used -= before;
  const CpuWatch::Seen seen = watch.look();
  clients.finish(*measured);
  measured->others_cpu_share = seen.others_share(measured->used.cpu_seconds);
  return measured;
}

std::unique_ptr<Measured> run_program(const ProgramStart& start, const TurnShape& shape,
                                      const BusyProcesses& busy) {
  auto measured = std::make_unique<Measured>();
  ClientProgram program(start, {.clients = shape.clients,
                                .payload_bytes = shape.payload_bytes,
                                .gap_ns = gap_ns(shape),
                                .seats = choose_seats(shape.placement, shape.clients, 1)});
  const Times times(shape.seconds);
  program.let_go(times.begin, times.end);
  sleep_until(times.begin);
  const CpuWatch watch(busy);
  const ProcessUsage before = usage_of_all(program.processes());
  sleep_until(times.end);
  measured->used = usage_of_all(program.processes());
  measured->used -= before;
  measured->others_cpu_share = watch.look().others_share(measured->used.cpu_seconds);
  auto latencies = std::make_unique<LatencyHistogram>();
  for (int client = 0; client < shape.clients; ++client) {
    *latencies = LatencyHistogram();
    const MonotonicNs took = program.read_client(*latencies);
    measured->add(*latencies, took);
  }
  program.finish();
  return measured;
}

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
  const BusyProcesses busy(shape.busy_processes);
  const Began began(transport);
  const ProgramStart program = transport.client_program();
  return result_of(program.command.empty() ? *run_processes(transport, shape, busy)
                                           : *run_program(program, shape, busy));
}

double clock_cost_ns() {
  constexpr int kReadings = 20'000;
  const MonotonicNs begin = shm::monotonic_now();
  for (int i = 1; i < kReadings; ++i) (void)shm::monotonic_now();
  return static_cast<double>(shm::monotonic_now() - begin) / kReadings;
}

}  // namespace slotring::bench
