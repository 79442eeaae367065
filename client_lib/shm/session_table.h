// Which sessions there are, and at which worker each is at home (schemas/session_layout.h has the
// bytes, and the rules by which records come and go). Lock-free: any process may create, look up
// and end sessions, and may stop or die at any instruction.
//
// Guarantee: at any time at most one ACTIVE record has a name. What a dead process left half done
// is finished by whoever comes across it, or by audit_sessions()
// (session_audit.h).

#ifndef SLOTRING_CLIENT_LIB_SHM_SESSION_TABLE_H_
#define SLOTRING_CLIENT_LIB_SHM_SESSION_TABLE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "client_lib/shm/control_segment.h"
#include "slotring/result.h"

namespace slotring::shm {

using layout::SessionState;
using layout::SessionWord;
using SessionIndex = std::uint32_t;

// Who makes a record, so that the reaper knows whose it was: see layout::kCreatorIsSeat.
constexpr std::uint16_t creator_client(std::uint16_t client) { return client; }
constexpr std::uint16_t creator_seat(SeatIndex seat) {
  return static_cast<std::uint16_t>(seat | layout::kCreatorIsSeat);
}

struct FoundSession {
  SessionIndex index = 0;
  SessionWord word;  // as it was: ACTIVE
  bool created = false;
};

class SessionTable {
 public:
  // `segment` outlives this.
  explicit SessionTable(const ControlSegment& segment) : segment_(&segment) {}

  // Errors: INVALID_ARGUMENT (an empty name, or one of over 63 bytes), BAD_SEGMENT (a chain that no
  // correct peer leaves).
  Result<std::optional<FoundSession>> find(std::string_view name) const;
  // Besides: SESSION_LIMIT (max_sessions), INVALID_ARGUMENT (the pool has none).
  Result<FoundSession> find_or_create(std::string_view name, std::uint16_t creator) const;

  // Changes home and flags of an ACTIVE record, if it is still `seen`; then `seen` is what it has
  // become, and otherwise what it is.
  [[nodiscard]] bool try_update(SessionIndex index, SessionWord& seen, std::uint16_t home,
                                std::uint8_t flags) const;
  // Ends the session if its record is still `seen`, and takes it out of its chain.
  [[nodiscard]] bool try_end(SessionIndex index, const SessionWord& seen) const;

  SessionWord word(SessionIndex index) const;
  layout::SessionRecord& record(SessionIndex index) const { return segment_->session(index); }
  std::string name(SessionIndex index) const;
  // Calls `see` for each ACTIVE record, in the order of the table.
  void for_each(const std::function<void(SessionIndex, const SessionWord&)>& see) const;

 private:
  const ControlSegment* segment_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SESSION_TABLE_H_
