#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "slotring/client.h"
#include "tools/bench/placement.h"
#include "tools/growth_report/figures.h"
#include "tools/growth_report/real_pool.h"

namespace slotring::growth {
namespace {

constexpr int kClients[] = {1, 4, 16, 64};
constexpr int kCalls = 1'500;
constexpr int kClaims = 20'000;
constexpr int kAttaches = 100;
constexpr char kReal[] = "real processes; all but the one that is measured are idle";

std::string name_of(int clients) { return "with" + std::to_string(clients); }

// One supervisor with a pool for each number of clients.
struct Attached {
  explicit Attached(const RealPools& real) : pool(real, shapes()) {
    for (const int count : kClients) {
      const std::string path = pool.socket_path(name_of(count));
      idle.push_back(std::make_unique<IdleClients>(path, count - 1, /*with_a_slot=*/false));
      clients.push_back(Client::attach(path).value());
    }
  }
  static std::vector<bench::PoolShape> shapes() {
    std::vector<bench::PoolShape> all;
    for (const int count : kClients) all.push_back({.name = name_of(count)});
    return all;
  }

  RealPool pool;
  std::vector<std::unique_ptr<IdleClients>> idle;
  std::vector<Client> clients;
};

// The quantile of so many durations of body().
template <class Body>
double quantile_of(int times, double quantile, const Body& body) {
  std::vector<double> found;
  for (int i = 0; i < times; ++i) {
    const shm::MonotonicNs begin = shm::monotonic_now();
    body();
    found.push_back(static_cast<double>(shm::monotonic_now() - begin));
  }
  std::sort(found.begin(), found.end());
  return found[static_cast<std::size_t>(quantile * static_cast<double>(times - 1))];
}

// Caller and worker on a CPU each; otherwise the kernel would decide what is measured.
double time_of_calls(Client& client, pid_t worker) {
  const bench::Seats seats = bench::choose_seats(bench::Placement::kSeparate, 1, 1);
  bench::place(::getpid(), seats.client_cpu(0));
  bench::place(worker, seats.server_cpu(0));
  const std::array<std::byte, 64> request{};
  const double p50 =
      quantile_of(kCalls, 0.5, [&] { (void)client.call("echo", Payload(request)).value(); });
  bench::place(::getpid(), std::nullopt);
  return p50;
}

double time_of_claims(Client& client) {
  const shm::MonotonicNs begin = shm::monotonic_now();
  for (int i = 0; i < kClaims; ++i) client.claim().value().release();
  return static_cast<double>(shm::monotonic_now() - begin) / kClaims;
}

double time_of_attaching(const std::string& path, double quantile) {
  return quantile_of(kAttaches, quantile, [&] { (void)Client::attach(path).value(); });
}

}  // namespace

std::vector<Series> calls_by_clients(const RealPools& real) {
  const auto attached = std::make_shared<Attached>(real);
  Series call{.figure = "call of 64 bytes, p50"};
  Series claim{.figure = "claim and release, the public ones"};
  Series attach50{.figure = "attaching, and leaving again, p50"};
  Series attach99{.figure = "attaching, and leaving again, p99"};
  for (std::size_t i = 0; i < attached->clients.size(); ++i) {
    const int count = kClients[i];
    const std::string path = attached->pool.socket_path(name_of(count));
    const pid_t worker = attached->pool.workers(name_of(count)).front();
    call.points.push_back({count, [=] { return time_of_calls(attached->clients[i], worker); }});
    claim.points.push_back({count, [=] { return time_of_claims(attached->clients[i]); }});
    attach50.points.push_back({count, [=] { return time_of_attaching(path, 0.5); }});
    attach99.points.push_back({count, [=] { return time_of_attaching(path, 0.99); }});
  }
  std::vector<Series> all;
  for (Series* series : {&call, &claim, &attach50, &attach99}) {
    series->over = "attached clients";
    series->how = kReal;
    all.push_back(std::move(*series));
  }
  return all;
}

}  // namespace slotring::growth
