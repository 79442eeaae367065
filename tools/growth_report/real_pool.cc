#include "tools/growth_report/real_pool.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <optional>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/peer_socket.h"
#include "client_lib/shm/slot.h"
#include "slotring/client.h"

namespace slotring::growth {
namespace {

constexpr std::chrono::seconds kPatience(60);
// So many attach at once: the rest would only wait.
constexpr int kAtOnce = 32;

int be_idle(const std::string& socket_path, bool with_a_slot, int report_to) {
  Result<Client> client = Client::attach(socket_path, {.name = "idle", .timeout = kPatience});
  if (!client) return 1;
  std::optional<Result<Lease>> lease;
  if (with_a_slot) lease.emplace(client->claim());
  if (lease && !lease->ok()) return 1;
  if (::write(report_to, "x", 1) != 1) return 1;
  for (;;) ::pause();
}

}  // namespace

IdleClients::IdleClients(const std::string& socket_path, int count, bool with_a_slot) {
  int ends[2];
  if (::pipe(ends) != 0) throw Exception(shm::system_error("pipe", errno));
  const shm::UniqueFd reports(ends[0]);
  shm::UniqueFd report_to(ends[1]);
  int there = 0;
  for (int i = 0; i < count || there < count; ++i) {
    if (i < count) {
      processes_.push_back(bench::ChildProcess::fork(
          [&] { return be_idle(socket_path, with_a_slot, report_to.get()); }));
    }
    if (i < kAtOnce) continue;
    char report = 0;
    if (i >= count) report_to.reset();  // so that the end of all of them is seen
    if (::read(reports.get(), &report, 1) != 1) {
      throw Exception(Error{ErrorCode::kInternal, "a client process did not attach"});
    }
    ++there;
  }
}

void IdleClients::kill() {
  for (const bench::ChildProcess& process : processes_) ::kill(process.pid(), SIGKILL);
  for (bench::ChildProcess& process : processes_) (void)process.wait();
  processes_.clear();
}

RealPool::RealPool(const RealPools& real, const std::vector<bench::PoolShape>& pools)
    : supervisor_(real.supervisor, folder_.path(), pools) {
  for (const bench::PoolShape& pool : pools) (void)workers(pool.name);
}

Observed::Observed(const std::string& socket_path) {
  const shm::MonotonicNs deadline =
      shm::monotonic_now() +
      static_cast<std::uint64_t>(std::chrono::nanoseconds(kPatience).count());
  socket_ = shm::connect_to(socket_path, deadline).value();
  segment_ =
      shm::attach(socket_.get(), wire::Role::Observer, "slotring growth", deadline).value().segment;
}

std::uint32_t Observed::clients() const {
  std::uint32_t found = 0;
  for (std::uint32_t i = 0; i < segment_->geometry().max_clients; ++i) {
    const auto state = segment_->client(i).state.load(std::memory_order_acquire);
    if (state != static_cast<std::uint32_t>(layout::ClientState::kVacant)) ++found;
  }
  return found;
}

std::uint32_t Observed::held_slots() const {
  std::uint32_t found = 0;
  for (shm::SlotIndex slot = 0; slot < segment_->geometry().slots(); ++slot) {
    if (shm::load_slot(segment_->slot_word(slot)).state != shm::SlotState::kFree) ++found;
  }
  return found;
}

}  // namespace slotring::growth
