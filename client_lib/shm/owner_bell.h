// A client's own bell, ClientRecord::bell: how one thread of it learns of everything that it waits
// for (async_calls.h), where a caller of a plain call sleeps on the one word that is its own.
//
// It is a Doorbell. Bits are hints: bit i means "look at your slots i, i + 30, i + 60, ..."
// (Doorbell::bit_of), kAttention "look at your place in line, and around". Who sets which:
//   - whoever takes a slot word with kFlagRingOwner to REPLIED, and, for one who died before it
//     rang, the reaper (reclaim.h);
//   - whoever wakes a waiter word with kFlagRingOwner (waiting_line.h), and, as for those that
//   sleep
//     there, the audit;
//   - repair, since a bell may be scribbled over; and the client itself.
// One thread of the client takes. It looks by itself once in kSelfCheckNs while it expects
// anything.

#ifndef SLOTRING_CLIENT_LIB_SHM_OWNER_BELL_H_
#define SLOTRING_CLIENT_LIB_SHM_OWNER_BELL_H_

#include <atomic>
#include <cstdint>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/futex.h"

namespace slotring::shm {

using OwnerBell = Doorbell<std::atomic<std::uint32_t>>;

// Rings `owner`, which a word named: one that is no client is passed over. `wake_anyway`: its bell
// may have been scribbled over.
inline void ring_owner(const ControlSegment& segment, std::uint16_t owner, std::uint32_t bits,
                       bool wake_anyway = false) {
  if (owner >= segment.geometry().max_clients) return;
  std::atomic<std::uint32_t>& word = segment.client(owner).bell;
  if (OwnerBell(word).ring(bits) || wake_anyway) futex_wake(futex_half(word), 1);
}

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_OWNER_BELL_H_
