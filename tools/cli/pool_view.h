// What can be seen of a pool from outside: a copy of the interesting words of its control segment.
//
// The segment is mapped read-only and its writers are not trusted: every word is copied once, every
// index is bounded by the geometry that the supervisor's socket gave, and a state that is none is
// called "corrupt". The words are read one after the other while the pool works, so each is right
// at its own moment, and two of them need not fit together.

#ifndef SLOTRING_TOOLS_CLI_POOL_VIEW_H_
#define SLOTRING_TOOLS_CLI_POOL_VIEW_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client_lib/shm/control_segment.h"
#include "slotring/result.h"

namespace slotring::cli {

// The call that a worker runs.
struct CallView {
  std::string method;      // empty when it was called by a name that has no id
  std::uint32_t slot = 0;  // of the seat's
  std::uint64_t run_ns = 0;
  bool abandoned = false;  // nobody waits for it any more
  bool hung = false;       // no thread of the worker gets the interpreter; else it is busy
};

struct SeatView {
  std::uint32_t seat = 0;
  std::string state;
  layout::ProfileWord profile;  // kNone without a worker
  std::int32_t pid = 0;         // of its present or last worker; 0 when it never had one
  std::uint32_t generation = 0;
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
  std::uint32_t restarts = 0;
  std::uint32_t busy_slots = 0;
  std::optional<std::uint64_t> uptime_ns;  // since it was ready; none while it is not
  std::optional<CallView> call;
};

struct SlotView {
  std::uint32_t seat = 0;
  std::uint32_t slot = 0;  // of the seat's
  std::string state;
  std::uint32_t generation = 0;
  bool listed = false;
  bool caller_sleeps = false;
  bool lost = false;
  std::optional<std::uint32_t> owner;  // in the client table; none when nobody owns it
  std::string owner_name;              // "corrupt" when the word names no client
  std::int32_t owner_pid = 0;

  bool is_free() const { return state == "free"; }
};

struct ClientView {
  std::uint32_t index = 0;
  std::string state;
  std::string name;
  std::int32_t pid = 0;
  std::uint32_t epoch = 0;
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;
};

struct PoolView {
  std::string name;
  std::string socket;
  std::int32_t supervisor_pid = 0;
  std::optional<std::uint64_t> uptime_ns;
  layout::Geometry geometry{};
  std::uint64_t call_time_limit_ns = 0;  // 0: none
  std::vector<SeatView> seats;
  std::vector<SlotView> slots;
  std::vector<std::uint32_t>
      free_ring_depths;             // hints in each ring, by the worker's calls in flight
  std::vector<ClientView> clients;  // those that are there, or are being cleaned up
  std::uint32_t waiting_callers = 0;
  std::vector<std::string> methods;
};

// Attaches to the pool as an observer and looks at it. Errors: those of attaching.
Result<PoolView> look_at_pool(const std::string& name_or_path);

}  // namespace slotring::cli

#endif  // SLOTRING_TOOLS_CLI_POOL_VIEW_H_
