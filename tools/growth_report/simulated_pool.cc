#include "tools/growth_report/simulated_pool.h"

#include <random>

#include "slotring/error.h"

namespace slotring::growth {

using testing::EchoWorker;

Lease SimulatedPool::claim(Which which) {
  if (which == Which::kAnother) client_ = 1 - client_;
  return clients_[client_]->claim(shm::kNever).value();
}

void SimulatedPool::call(Which which) {
  if (seats_.empty()) {
    for (shm::SeatIndex seat = 0; seat < pool_.segment().geometry().max_workers; ++seat) {
      seats_.push_back(pool_.worker(seat));
    }
  }
  static constexpr std::array<std::byte, 64> kRequest{};
  Lease lease = claim(which);
  const std::span<std::byte> space = lease.request(kRequest.size()).value();
  std::memcpy(space.data(), kRequest.data(), kRequest.size());
  lease.submit("echo", PayloadKind::kBytes, kRequest.size()).value();
  const auto offset = static_cast<std::uint64_t>(space.data() - pool_.requests().area(0));
  const auto slot = static_cast<shm::SlotIndex>(offset / pool_.requests().area_bytes());
  shm::WorkerSeat& seat = seats_[pool_.segment().seat_of(slot)];
  EchoWorker::echo(seat, seat.try_next().value());
  (void)lease.wait().value();
}

void SimulatedPool::saturate() {
  while (const std::optional<shm::Claim> claim = slots().try_claim(kHolder)) hold(*claim);
  std::shuffle(held_.begin(), held_.end(), std::mt19937_64(held_.size()));
}

void SimulatedPool::free_one() {
  const shm::Claim claim = held_.front();
  held_.pop_front();
  if (!slots().try_release(claim.slot, claim.word, shm::Actor::kClient)) {
    throw Exception(Error{ErrorCode::kBadSegment, "a held slot is not held"});
  }
}

}  // namespace slotring::growth
