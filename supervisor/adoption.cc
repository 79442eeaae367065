#include "supervisor/adoption.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "client_lib/shm/attachment.h"
#include "client_lib/shm/process_identity.h"
#include "supervisor/handshake.h"

namespace slotring::supervisor {

namespace {

constexpr int kWaitMs = 100;
constexpr shm::MonotonicNs kComplainAfterNs = 2'000'000'000;
// For one that cannot be taken over because it is about to end.
constexpr shm::MonotonicNs kEndsWithinNs = 2'000'000'000;

// The worker that holds a seat's socket. Nothing when nobody does, or only one that has not joined
// the pool and cannot any more. Errors: shortages, and a worker whose queue is full.
Result<std::optional<FoundWorker>> find_worker(const SeatSockets& seats, shm::SeatIndex seat) {
  const auto nobody = [](const Error& error) {
    return error.code == ErrorCode::kWorkerUnavailable;
  };
  Result<shm::UniqueFd> socket = seats.connect(seat);
  if (!socket) {
    if (nobody(socket.error())) return std::optional<FoundWorker>();
    return std::move(socket).error();
  }
  Result<PeerIdentity> identity = identify_peer(socket->get());
  if (!identity) {
    // The process that said listen() has ended: it was the supervisor, and the worker did not get
    // so far as to say it once more.
    if (nobody(identity.error())) return std::optional<FoundWorker>();
    return std::move(identity).error();
  }
  // Itself, as an earlier program of this process: the same.
  if (identity->pid == ::getpid()) return std::optional<FoundWorker>();
  if (shm::has_ended(identity->pidfd)) return std::optional<FoundWorker>();
  FoundWorker worker;
  worker.seat = seat;
  worker.socket = *std::move(socket);
  worker.identity = *std::move(identity);
  return std::optional<FoundWorker>(std::move(worker));
}

Result<std::vector<FoundWorker>> find_workers(const SeatSockets& seats) {
  std::vector<FoundWorker> workers;
  for (const shm::SeatIndex seat : seats.seats()) {
    Result<std::optional<FoundWorker>> worker = find_worker(seats, seat);
    if (!worker) return std::move(worker).error();
    if (*worker) workers.push_back(**std::move(worker));
  }
  return workers;
}

Result<std::unique_ptr<PoolMemory>> take_memory(shm::Packet& packet, const std::string& pool) {
  const auto* resume = packet.as<wire::Resume>();
  if (resume == nullptr) {
    return Error{ErrorCode::kBadFrame, "it answered with something else than Resume"};
  }
  if (std::optional<Error> mismatch = check_versions(*resume)) return *std::move(mismatch);
  const layout::Geometry geometry = shm::to_geometry(*resume->geometry());
  if (!layout::is_valid(geometry)) {
    return Error{ErrorCode::kBadSegment, "the geometry that it tells is out of bounds"};
  }
  if (resume->pool() == nullptr || resume->pool()->string_view() != pool) {
    return Error{ErrorCode::kPoolNotFound, "it works for another pool"};
  }
  std::vector<shm::UniqueFd> descriptors;
  for (const shm::UniqueFd& own : packet.descriptors) descriptors.push_back(shm::duplicate(own));
  return PoolMemory::adopt(pool, std::move(descriptors), geometry, resume->instance());
}

enum class Prospect : std::uint8_t {
  kMayAnswer,
  kNone,       // the memory will not come from it
  kOtherPool,  // which had this pool's socket before
};
using Prospects = std::vector<Prospect>;  // by seat

// Waits a moment for answers.
void receive_answers(std::vector<FoundWorker>& workers, Prospects& prospects, const Log& log) {
  std::vector<pollfd> waited;
  for (const FoundWorker& worker : workers) {
    const bool hopeful = prospects[worker.seat] == Prospect::kMayAnswer;
    waited.push_back({hopeful ? worker.socket.get() : -1, POLLIN, 0});
  }
  if (::poll(waited.data(), waited.size(), kWaitMs) <= 0) return;
  for (std::size_t i = 0; i < workers.size(); ++i) {
    FoundWorker& worker = workers[i];
    if (waited[i].revents == 0) continue;
    Result<shm::Packet> packet = receive_now(worker.socket.get());
    if (packet) {
      worker.resume = *std::move(packet);
    } else if (packet.error().code != ErrorCode::kDeadlineExceeded) {
      prospects[worker.seat] = Prospect::kNone;
      log->warn("seat {}: its worker, {}, does not answer: {}", worker.seat,
                worker.identity.to_string(), packet.error().to_string());
    }
  }
}

std::string list_of(const std::vector<FoundWorker>& workers) {
  std::string list;
  for (const FoundWorker& worker : workers) {
    list += (list.empty() ? "pid " : ", ") + std::to_string(worker.identity.pid);
  }
  return list;
}

// The memory of the first that has answered well; null while there is none. Errors: those that are
// no worker's alone.
Result<std::unique_ptr<PoolMemory>> first_memory(std::vector<FoundWorker>& workers,
                                                 Prospects& prospects, const std::string& pool,
                                                 const Log& log) {
  for (FoundWorker& worker : workers) {
    if (!worker.resume || prospects[worker.seat] != Prospect::kMayAnswer) continue;
    Result<std::unique_ptr<PoolMemory>> memory = take_memory(*worker.resume, pool);
    if (memory || memory.error().code == ErrorCode::kVersionMismatch ||
        memory.error().category() == ErrorCategory::kResource) {
      return memory;
    }
    log->error("seat {}: nothing can be taken over from its worker, {}: {}", worker.seat,
               worker.identity.to_string(), memory.error().to_string());
    prospects[worker.seat] =
        memory.error().code == ErrorCode::kPoolNotFound ? Prospect::kOtherPool : Prospect::kNone;
  }
  return std::unique_ptr<PoolMemory>();
}

}  // namespace

Result<FoundPool> find_running_pool(const SeatSockets& seats, const std::string& pool,
                                    const Log& log, const std::function<bool()>& keep_waiting) {
  Result<std::vector<FoundWorker>> workers = find_workers(seats);
  if (!workers) return std::move(workers).error();
  const shm::MonotonicNs complain_at = shm::monotonic_now() + kComplainAfterNs;
  bool complained = false;
  shm::MonotonicNs hopeless_at = complain_at;
  Prospects prospects(layout::kMaxWorkers, Prospect::kMayAnswer);
  const auto any = [&](Prospect prospect) {
    return std::any_of(workers->begin(), workers->end(), [&](const FoundWorker& worker) {
      return prospects[worker.seat] == prospect;
    });
  };
  for (;;) {
    Result<std::unique_ptr<PoolMemory>> memory = first_memory(*workers, prospects, pool, log);
    if (!memory) return std::move(memory).error();
    if (*memory) return FoundPool{*std::move(memory), *std::move(workers)};
    const shm::MonotonicNs now = shm::monotonic_now();
    if (any(Prospect::kMayAnswer)) {
      hopeless_at = now + kEndsWithinNs;
    } else if (!any(Prospect::kNone)) {
      return FoundPool{nullptr, {}};
    }
    if (now >= hopeless_at || !keep_waiting()) {
      return Error{
          ErrorCode::kRefused,
          "workers of an earlier supervisor live and do not hand over the pool's memory (" +
              list_of(*workers) + "); end them to start the pool anew"};
    }
    if (!complained && now >= complain_at) {
      complained = true;
      log->warn(
          "waiting for a worker of the earlier supervisor to hand over the pool's memory; are "
          "they stopped? ({})",
          list_of(*workers));
    }
    receive_answers(*workers, prospects, log);
    std::erase_if(*workers, [](const FoundWorker& w) { return shm::has_ended(w.identity.pidfd); });
  }
}

}  // namespace slotring::supervisor
