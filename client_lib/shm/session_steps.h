// The steps of one session's record: each is one compare-and-swap of its word
// (schemas/session_layout.h).

#ifndef SLOTRING_CLIENT_LIB_SHM_SESSION_STEPS_H_
#define SLOTRING_CLIENT_LIB_SHM_SESSION_STEPS_H_

#include <atomic>
#include <cstdint>

#include "schemas/session_layout.h"

namespace slotring::shm {

// Makes `seen`, if the record is still that, `next`. `seen` becomes what the record is then.
[[nodiscard]] inline bool try_step(layout::SessionRecord& record, layout::SessionWord& seen,
                                   const layout::SessionWord& next) {
  std::uint64_t expected = seen.pack();
  // Acquire and release: who sees the record's new state sees what was written before.
  const bool set = record.word.compare_exchange_strong(
      expected, next.pack(), std::memory_order_acq_rel, std::memory_order_acquire);
  seen = set ? next : layout::SessionWord::unpack(expected);
  return set;
}

// The same record's word in another state.
inline layout::SessionWord in_state(layout::SessionWord word, layout::SessionState state) {
  word.state = state;
  if (state == layout::SessionState::kVacant) {
    word.home = layout::kNoHome;
    word.flags = 0;
  }
  return word;
}

// What CREATING becomes. `home` named the creator until now.
inline layout::SessionWord activated(const layout::SessionWord& creating) {
  return {creating.incarnation, layout::kNoHome, layout::SessionState::kActive, 0};
}

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SESSION_STEPS_H_
