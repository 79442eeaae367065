#include "tools/bench/calibrator.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <memory>

#include "client_lib/shm/futex.h"
#include "tools/bench/bare_transport.h"
#include "tools/bench/latency_histogram.h"

namespace slotring::bench {

namespace {

using shm::MonotonicNs;

constexpr MonotonicNs kEachNs = 8'000'000;
constexpr MonotonicNs kWarmUpNs = 1'000'000;
constexpr std::size_t kPayloadBytes = 64;
constexpr int kWorkSteps = 20'000;  // some tens of microseconds

// The median duration of `operation`, which is measured `batch` at a time: a clock may step by as
// much as one takes.
template <class Operation>
double typical_ns(int batch, const Operation& operation) {
  const auto durations = std::make_unique<LatencyHistogram>();
  const MonotonicNs begin = shm::monotonic_now();
  for (MonotonicNs before = begin; before < begin + kEachNs;) {
    for (int i = 0; i < batch; ++i) operation();
    const MonotonicNs after = shm::monotonic_now();
    if (after > begin + kWarmUpNs) durations->record(after - before);
    before = after;
  }
  return durations->quantile_ns(0.5) / batch;
}

double exchange_ns(const Seats& seats, bool yields) {
  BareTransport bare(kPayloadBytes, yields, /*in_place=*/false);
  bare.begin_turn();
  for (const pid_t server : bare.servers()) place(server, seats.server_cpu(0));
  const std::unique_ptr<Exchange> exchange = bare.connect(0);
  std::array<std::byte, kPayloadBytes> request{};
  std::array<std::byte, kPayloadBytes> reply;
  const double typical = typical_ns(16, [&] { exchange->call(request, reply); });
  bare.end_turn();
  return typical;
}

// xorshift. Source: G. Marsaglia, Xorshift RNGs, 2003.
void work() {
  volatile std::uint64_t kept = 0;
  std::uint64_t number = 88172645463325252U;
  for (int step = 0; step < kWorkSteps; ++step) {
    number ^= number << 13;
    number ^= number >> 7;
    number ^= number << 17;
  }
  kept = number;
  (void)kept;
}

// Binds this process, for a while.
class OwnSeat {
 public:
  explicit OwnSeat(std::optional<int> cpu) { place(::getpid(), cpu); }
  OwnSeat(const OwnSeat&) = delete;
  OwnSeat& operator=(const OwnSeat&) = delete;
  ~OwnSeat() { place(::getpid(), std::nullopt); }
};

}  // namespace

Calibration calibrate(Placement placement) {
  const Placement bound = placement == Placement::kFree ? Placement::kSeparate : placement;
  const Seats seats = choose_seats(bound, 1, 1);
  const OwnSeat seat(seats.client_cpu(0));
  const bool share_a_cpu = seats.client_cpu(0) == seats.server_cpu(0);
  Calibration measured;
  measured.exchange_ns = exchange_ns(seats, share_a_cpu);
  measured.work_ns = typical_ns(1, work);
  return measured;
}

}  // namespace slotring::bench
