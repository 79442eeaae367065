#include "supervisor/method_table.h"

#include "supervisor/log_lines.h"

namespace slotring::supervisor {

Result<MethodId> MethodTable::intern(std::string_view name) {
  if (const auto known = ids_.find(name); known != ids_.end()) return known->second;
  if (name.empty() || name.size() > layout::kMaxNameBytes || printable(name) != name) {
    return Error{ErrorCode::kInvalidArgument,
                 "the method name \"" + printable(name.substr(0, 2 * layout::kMaxNameBytes)) +
                     "\" must be 1 to " + std::to_string(layout::kMaxNameBytes) +
                     " printable bytes"};
  }
  if (size() == layout::kMaxMethods) {
    return Error{ErrorCode::kSystemLimit,
                 "a pool has at most " + std::to_string(layout::kMaxMethods) + " methods"};
  }
  const auto id = static_cast<MethodId>(size() + 1);
  shm::store_name(segment_.method(id), name);
  // Release: who acquires the count may read the records that it covers.
  segment_.header().method_count.store(id, std::memory_order_release);
  ids_.emplace(name, id);
  return id;
}

}  // namespace slotring::supervisor
