// Calls in a session to one worker of a LocalPool, by hand: the slot, the frame and the wait. No
// choice of a worker is made here; tests say which one a call reaches. Test-only.

#ifndef SLOTRING_TESTS_PYTHON_HARNESS_SESSION_CALLS_H_
#define SLOTRING_TESTS_PYTHON_HARNESS_SESSION_CALLS_H_

#include <string>
#include <vector>

#include "client_lib/shm/session_table.h"
#include "tests/support/local_pool.h"

namespace slotring::testing {

struct SessionReply {
  int kind;
  std::vector<std::byte> bytes;
};

class SessionCalls {
 public:
  explicit SessionCalls(const LocalPool& pool) : pool_(&pool), table_(pool.segment()) {}

  struct Request {
    std::string session;
    std::string method;
    int kind = 0;
    std::vector<std::byte> payload;
  };
  // Finds or makes the session's record, marks its use, and sends. Returns the call's slot.
  Result<shm::SlotIndex> start(shm::SeatIndex seat, const Request& request,
                               shm::MonotonicNs deadline) const;
  Result<SessionReply> finish(shm::SlotIndex slot) const;

  // As other processes would do it. False when there is no such session.
  bool end(const std::string& session) const;
  bool lose(const std::string& session) const;  // takes its state for lost
  // Says that the seat's worker of this generation has its state.
  bool place(const std::string& session, shm::SeatIndex seat, std::uint32_t generation) const;
  bool age(const std::string& session, std::uint64_t ns) const;

  const shm::SessionTable& table() const { return table_; }

 private:
  std::optional<shm::FoundSession> find(const std::string& session) const;
  std::optional<shm::Claim> try_claim(shm::SeatIndex seat) const;

  const LocalPool* pool_;
  shm::SessionTable table_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_PYTHON_HARNESS_SESSION_CALLS_H_
