// A pool as the chaos driver sees it: through an observer's read-only mapping, which stays when the
// supervisor dies.

#ifndef SLOTRING_TESTS_CHAOS_WATCHED_POOL_H_
#define SLOTRING_TESTS_CHAOS_WATCHED_POOL_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client_lib/shm/control_segment.h"
#include "slotring/result.h"

namespace slotring::chaos {

class WatchedPool {
 public:
  explicit WatchedPool(std::string socket) : socket_(std::move(socket)) {}

  const std::string& socket() const { return socket_; }
  // Attaches as an observer, anew if it was attached.
  Status attach();
  bool attached() const { return segment_ != nullptr; }

  // Below: REQUIRES attached().
  pid_t supervisor() const { return supervisor_; }
  std::uint64_t instance() const { return segment_->header().instance; }
  std::uint32_t seats() const { return segment_->geometry().max_workers; }
  std::uint32_t slots() const { return segment_->geometry().slots(); }
  // Of the seat's worker when it is ready, else 0.
  pid_t ready_worker(shm::SeatIndex seat) const;
  // Of the seat's worker in whatever state; 0 for none.
  pid_t worker(shm::SeatIndex seat) const;
  std::uint32_t ready_seats() const;
  std::uint32_t busy_slots() const;
  std::uint32_t waiting() const;
  // One line about each slot that is not free.
  std::string busy_text() const;

 private:
  std::string socket_;
  pid_t supervisor_ = 0;
  std::shared_ptr<shm::ControlSegment> segment_;
};

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_WATCHED_POOL_H_
