#include "client_lib/shm/expected_workers.h"

#include <string>

namespace slotring::shm {

using layout::SeatState;

namespace {

// Whether the seat has a worker that calls may go to, or gets one by itself.
bool is_expected(const layout::SeatWord& seat) {
  // One that is sent away for being idle stays after all, if it is not, or leaves its seat dormant.
  if (seat.state == SeatState::kDraining) return seat.returns;
  return seat.state == SeatState::kReady || seat.state == SeatState::kStarting ||
         seat.state == SeatState::kLost;
}

}  // namespace

Status check_workers_expected(const ControlSegment& segment) {
  bool draining = false;
  for (SeatIndex seat = 0; seat < segment.geometry().max_workers; ++seat) {
    const layout::SeatWord word = segment.seat_word(seat);
    if (is_expected(word) || word.state == SeatState::kDormant) return Done{};
    draining = draining || word.state == SeatState::kDraining;
  }
  if (draining) {
    return Error{.code = ErrorCode::kPoolDraining,
                 .message = "the pool is shutting down and takes no new calls",
                 .retryable = true};
  }
  return Error{.code = ErrorCode::kWorkerUnavailable,
               .message = "the pool has no worker, and none is being started",
               .retryable = true};
}

Status check_worker_expected(const ControlSegment& segment, SeatIndex seat) {
  const layout::SeatWord word = segment.seat_word(seat);
  if (is_expected(word)) return Done{};
  // Where the whole pool goes, that is what to say.
  if (Status pool = check_workers_expected(segment); !pool) return pool;
  return Error{.code = ErrorCode::kWorkerUnavailable,
               .message =
                   "the worker that the call was for is not there, and no successor is "
                   "due: its seat is " +
                   std::string(layout::to_string(word.state)),
               .retryable = true};
}

}  // namespace slotring::shm
