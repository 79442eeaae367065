// Making a control segment sound again that a hostile or broken peer has scribbled over. Only the
// supervisor does it, from what it knows by itself and never read in the segment.
//
// What is mended, and how far:
//   - what only the supervisor writes (header, method names, seats, clients) is written again where
//     it differs;
//   - a slot or waiter word that no living process can hold (an impossible state, an owner that is
//     not attached, FREE with an owner) becomes FREE or VACANT. Where a worker may be running the
//     slot's call it becomes ABANDONED, and the worker, which knows what it runs, frees it;
//   - a ring that pushes and pops cannot have led to is renewed, and hints are listed again;
//   - chains of the session table are made sound, see audit_sessions();
//   - bells are rung, the workers', the clients' and the audit's, as far as somebody may sleep
//     behind a lost one.
// A word that names a living owner is never touched: it may be the truth. The owner itself knows
// better, and takes such words back when repair_epoch tells it that there was a repair
// (own_places.h, WorkerSeat).
//
// Every step is one compare-and-swap, or a store of what was there before. So repair is safe beside
// peers at work, may be killed anywhere, and repeated.

#ifndef SLOTRING_CLIENT_LIB_SHM_REPAIR_H_
#define SLOTRING_CLIENT_LIB_SHM_REPAIR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "client_lib/shm/slot_pool.h"

namespace slotring::shm {

// The part of the header that does not change while one supervisor has the pool.
using FixedHeader = std::array<std::uint64_t, offsetof(layout::ControlHeader, method_count) / 8>;

// What the supervisor knows about its pool by itself.
struct PoolTruth {
  struct Seat {
    layout::SeatWord word;
    std::int32_t pid = 0;
    std::uint64_t pid_start_time = 0;
    layout::ProfileWord profile = {};
  };
  struct Client {
    bool attached = false;
    std::uint32_t epoch = 0;
    std::int32_t pid = 0;
    std::uint64_t pid_start_time = 0;
    std::string name;
  };

  FixedHeader header{};
  std::uint32_t supervisor_epoch = 0;
  std::int32_t supervisor_pid = 0;
  std::vector<std::string> methods;  // id 1 first
  std::vector<Seat> seats;           // of all seats
  std::vector<Client> clients;       // of the places from 0; those behind are not attached
};

// How much had to be mended.
struct Repairs {
  std::uint32_t header_words = 0;
  std::uint32_t method_names = 0;
  std::uint32_t seats = 0;
  std::uint32_t clients = 0;
  std::uint32_t slots = 0;
  std::uint32_t waiters = 0;
  std::uint32_t rings = 0;
  std::uint32_t sessions = 0;

  std::uint32_t total() const {
    return header_words + method_names + seats + clients + slots + waiters + rings + sessions;
  }
  // "2 slots, 1 ring"
  std::string to_string() const;
};

// The header as it is now. To be taken before any peer has the memory.
FixedHeader copy_header(const ControlSegment& segment);

// REQUIRES: the caller is the only one that attaches and reclaims meanwhile.
Repairs repair(const SlotPool& pool, const PoolTruth& truth);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_REPAIR_H_
