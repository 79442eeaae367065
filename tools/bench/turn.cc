#include "tools/bench/turn.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

#include "client_lib/shm/futex.h"
#include "tools/bench/busy_processes.h"
#include "tools/bench/caller.h"
#include "tools/bench/client_processes.h"
#include "tools/bench/client_program.h"
#include "tools/bench/process_usage.h"
#include "tools/bench/turn_measure.h"

namespace slotring::bench {

namespace {

using shm::MonotonicNs;

constexpr MonotonicNs kWarmUpNs = 60'000'000;

TurnResult result_of(const TurnMeasure& measured) {
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

struct Times {
  MonotonicNs begin;
  MonotonicNs end;

  explicit Times(double seconds)
      : begin(shm::monotonic_now() + kWarmUpNs),
        end(begin + static_cast<MonotonicNs>(seconds * 1e9)) {}
};

std::unique_ptr<TurnMeasure> run_processes(Transport& transport, const TurnShape& shape,
                                           const BusyProcesses& busy) {
  auto measured = std::make_unique<TurnMeasure>();  // has a histogram: large
  std::vector<pid_t> servers = transport.servers();
  const Seats seats =
      choose_seats(shape.placement, shape.clients, static_cast<int>(servers.size()));
  for (std::size_t i = 0; i < servers.size(); ++i) {
    place(servers[i], seats.server_cpu(static_cast<int>(i)));
  }
  const std::vector<pid_t> bystanders = transport.bystanders();
  // On one CPU together, or it would not be one; else they may be anywhere.
  const bool on_one_cpu = shape.placement == Placement::kSame;
  for (const pid_t other : bystanders) {
    place(other, on_one_cpu ? seats.server_cpu(0) : std::nullopt);
  }
  servers.insert(servers.end(), bystanders.begin(), bystanders.end());
  ClientProcesses clients(transport, shape, seats);
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

std::unique_ptr<TurnMeasure> run_program(const ProgramStart& start, const TurnShape& shape,
                                         const BusyProcesses& busy) {
  auto measured = std::make_unique<TurnMeasure>();
  ClientProgram program(start, {.clients = shape.clients,
                                .payload_bytes = shape.payload_bytes,
                                .gap_ns = shape.gap_ns(),
                                .seats = choose_seats(shape.placement, shape.clients, 1)});
  const Times times(shape.seconds);
  program.let_go(times.begin, times.end);
  sleep_until(times.begin);
  const CpuWatch watch(busy);
  const ProcessUsage before = usage_of_all(program.processes());
  sleep_until(times.end);
  program.await_replies();
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
