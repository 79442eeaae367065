#include "supervisor/client_table.h"

#include <algorithm>
#include <cassert>

#include "client_lib/shm/reclaim.h"
#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

void store_state(layout::ClientRecord& record, layout::ClientState state) {
  // Release: whoever acquires ATTACHED may read the fields that were written before it.
  record.state.store(static_cast<std::uint32_t>(state), std::memory_order_release);
}

}  // namespace

ClientTable::ClientTable(const shm::SlotPool& pool)
    : pool_(pool), records_(pool.segment().geometry().max_clients) {}

std::optional<ClientTable::Place> ClientTable::try_attach(std::string_view name, pid_t pid,
                                                          std::uint64_t start_time) {
  const auto vacant = std::find_if(records_.begin(), records_.end(),
                                   [](const auto& record) { return !record.attached; });
  if (vacant == records_.end()) return std::nullopt;
  vacant->attached = true;
  ++vacant->epoch;
  vacant->pid = pid;
  vacant->pid_start_time = start_time;
  vacant->name = name.substr(0, layout::kMaxNameBytes);
  ++attached_;
  const auto index = static_cast<std::uint16_t>(vacant - records_.begin());
  layout::ClientRecord& record = pool_.segment().client(index);
  record.pid.store(pid, std::memory_order_relaxed);
  record.pid_start_time.store(start_time, std::memory_order_relaxed);
  record.epoch.store(vacant->epoch, std::memory_order_relaxed);
  record.calls.store(0, std::memory_order_relaxed);
  record.errors.store(0, std::memory_order_relaxed);
  shm::store_name(record.name, name);
  store_state(record, layout::ClientState::kAttached);
  return Place{index, vacant->epoch};
}

std::vector<ClientTable::Adopted> ClientTable::adopt() {
  std::vector<Adopted> adopted;
  for (std::uint32_t index = 0; index < records_.size(); ++index) {
    layout::ClientRecord& record = pool_.segment().client(index);
    // Acquire: partner of the release in store_state().
    const auto state =
        static_cast<layout::ClientState>(record.state.load(std::memory_order_acquire));
    shm::PoolTruth::Client& client = records_[index];
    client.epoch = record.epoch.load(std::memory_order_relaxed);
    if (state == layout::ClientState::kVacant) continue;
    client.attached = true;
    client.pid = record.pid.load(std::memory_order_relaxed);
    client.pid_start_time = record.pid_start_time.load(std::memory_order_relaxed);
    client.name = printable(shm::load_name(record.name)).substr(0, layout::kMaxNameBytes);
    ++attached_;
    adopted.push_back({static_cast<std::uint16_t>(index),
                       client.name,
                       {client.pid, client.pid_start_time},
                       state != layout::ClientState::kAttached});
  }
  return adopted;
}

bool ClientTable::has_left(std::uint16_t index) const {
  // seq_cst: partner of SupervisorContact::say_goodbye(), and acquire of what it released.
  return pool_.segment().client(index).state.load(std::memory_order_seq_cst) ==
         static_cast<std::uint32_t>(layout::ClientState::kLeft);
}

std::uint32_t ClientTable::reclaim(std::uint16_t index) {
  assert(records_[index].attached);
  layout::ClientRecord& record = pool_.segment().client(index);
  store_state(record, layout::ClientState::kReclaiming);
  const std::uint32_t slots = shm::reclaim_client(pool_, index);
  store_state(record, layout::ClientState::kVacant);
  records_[index].attached = false;
  --attached_;
  return slots;
}

}  // namespace slotring::supervisor
