// The pool's method names and their ids, which a call's frame carries instead of the name.
//
// Only the supervisor interns. A name keeps its id for the pool's life, whichever worker announces
// it; ids start at 1. The table in the segment (schemas/control_layout.h) is written here, and read
// only when a supervisor takes it over from one that died; what a worker knows overrules it then.

#ifndef SLOTRING_SUPERVISOR_METHOD_TABLE_H_
#define SLOTRING_SUPERVISOR_METHOD_TABLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

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

  // Takes over what the segment holds. Before anything else.
  void adopt();
  // What a worker of an earlier supervisor was told. Errors: BAD_FRAME (another worker was told
  // otherwise, or no supervisor tells that).
  Status restore(std::string_view name, MethodId id);

  // The name of an id; empty when there is none such.
  std::string_view name_of(MethodId id) const;
  // By id, that of id 1 first.
  std::vector<std::string> names() const;

  std::uint32_t size() const { return static_cast<std::uint32_t>(methods_.size()); }

 private:
  struct Method {
    std::string name;  // empty: lost, the id is not given out again
    bool certain;      // not only read from the segment
  };
  void store(MethodId id, std::string_view name);

  const shm::ControlSegment& segment_;
  std::vector<Method> methods_;  // by id - 1
  std::map<std::string, MethodId, std::less<>> ids_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_METHOD_TABLE_H_
