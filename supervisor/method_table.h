// The pool's method names and their ids, which a call's frame carries instead of the name.
//
// Only the supervisor interns. A name keeps its id for the pool's life, whichever worker announces
// it; ids start at 1. The table in the segment (schemas/control_layout.h) is written here and never
// read.

#ifndef SLOTRING_SUPERVISOR_METHOD_TABLE_H_
#define SLOTRING_SUPERVISOR_METHOD_TABLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "client_lib/shm/control_segment.h"
#include "slotring/result.h"

namespace slotring::supervisor {

using MethodId = std::uint16_t;

class MethodTable {
 public:
  // `segment` outlives this.
  explicit MethodTable(const shm::ControlSegment& segment) : segment_(segment) {}

  // The id of a name, a new one if need be. Errors: INVALID_ARGUMENT (empty, too long, or not
  // printable), SYSTEM_LIMIT (the table is full).
  Result<MethodId> intern(std::string_view name);

  std::uint32_t size() const { return static_cast<std::uint32_t>(ids_.size()); }

 private:
  const shm::ControlSegment& segment_;
  std::map<std::string, MethodId, std::less<>> ids_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_METHOD_TABLE_H_
