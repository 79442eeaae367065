// The chain that a session's name belongs into, and the operations by name on it. Shared by the
// session table and its audit.

#ifndef SLOTRING_CLIENT_LIB_SHM_NAMED_CHAIN_H_
#define SLOTRING_CLIENT_LIB_SHM_NAMED_CHAIN_H_

#include <cstdint>
#include <optional>

#include "client_lib/shm/session_chain.h"
#include "client_lib/shm/session_table.h"

namespace slotring::shm {

// How often a record is put in front of its chain before that is given up. Each failure needs
// another's success; correct peers do not cause so many in a row.
inline constexpr int kJoinAttempts = 1 << 12;

// BAD_SEGMENT: no correct peer leaves such a chain.
Error broken_chain();

class NamedChain {
 public:
  // Both outlive this. REQUIRES: the pool has sessions.
  NamedChain(const ControlSegment& segment, const SessionName& name);

  std::uint32_t bucket() const { return bucket_; }
  std::uint64_t hash() const { return hash_; }

  // The ACTIVE record of the name; one that is in the chain and CREATING becomes ACTIVE by it.
  // try_join() may follow. Errors: BAD_SEGMENT.
  Result<std::optional<FoundSession>> find();
  // Puts a record of the name in front, unless the chain has got others since find().
  [[nodiscard]] bool try_join(SessionIndex index, std::uint32_t incarnation) const;
  // Whether the record is in the chain; nothing when that cannot be said.
  std::optional<bool> has(SessionIndex index, std::uint32_t incarnation) const;
  // Takes what has ended out of the chain. False when it is broken.
  [[nodiscard]] bool tidy() const;

 private:
  std::optional<FoundSession> found_at(SessionIndex index, const SessionWord& met) const;

  const ControlSegment& segment_;
  const SessionName& name_;
  std::uint64_t hash_;
  std::uint32_t bucket_;
  layout::SessionLink head_;  // of the last find()
};

// ENDED -> VACANT, after its chain does not have the record any more. False when it is still there.
[[nodiscard]] bool try_vacate(const ControlSegment& segment, SessionIndex index, SessionWord ended);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_NAMED_CHAIN_H_
