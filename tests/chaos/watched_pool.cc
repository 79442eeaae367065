#include "tests/chaos/watched_pool.h"

#include "client_lib/shm/attachment.h"
#include "client_lib/shm/slot.h"
#include "client_lib/shm/waiting_line.h"

namespace slotring::chaos {

using layout::SeatState;

namespace {
constexpr shm::MonotonicNs kAttachTimeoutNs = 200'000'000;
}  // namespace

Status WatchedPool::attach() {
  const shm::MonotonicNs deadline = shm::monotonic_now() + kAttachTimeoutNs;
  Result<shm::UniqueFd> socket = shm::connect_to(socket_, deadline);
  if (!socket) return std::move(socket).error();
  Result<shm::Attachment> joined =
      shm::attach(socket->get(), wire::Role::Observer, "chaos", deadline);
  if (!joined) return std::move(joined).error();
  supervisor_ = joined->supervisor_pid;
  segment_ = joined->segment;
  return Done{};
}

pid_t WatchedPool::ready_worker(shm::SeatIndex seat) const {
  return segment_->seat_word(seat).state == SeatState::kReady ? worker(seat) : 0;
}

pid_t WatchedPool::worker(shm::SeatIndex seat) const {
  return segment_->seat(seat).pid.load(std::memory_order_relaxed);
}

std::uint32_t WatchedPool::ready_seats() const {
  std::uint32_t ready = 0;
  for (shm::SeatIndex seat = 0; seat < seats(); ++seat) {
    ready += segment_->seat_word(seat).state == SeatState::kReady;
  }
  return ready;
}

std::uint32_t WatchedPool::busy_slots() const {
  std::uint32_t busy = 0;
  for (shm::SeatIndex seat = 0; seat < seats(); ++seat) busy += segment_->busy_slots(seat);
  return busy;
}

std::uint32_t WatchedPool::waiting() const { return shm::WaitingLine(*segment_).count_waiting(); }

std::string WatchedPool::busy_text() const {
  std::string text;
  for (shm::SlotIndex slot = 0; slot < slots(); ++slot) {
    const shm::SlotWord word = shm::load_slot(segment_->slot_word(slot));
    if (word.state == shm::SlotState::kFree) continue;
    text += "slot " + std::to_string(slot) + " is " + to_string(word.state) + ", generation " +
            std::to_string(word.generation) + ", of client " + std::to_string(word.owner) +
            " (pid " + std::to_string(segment_->client(word.owner).pid.load()) + ")\n";
  }
  return text;
}

}  // namespace slotring::chaos
