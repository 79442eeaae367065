#include "supervisor/method_table.h"

#include <algorithm>

#include "supervisor/log_lines.h"

namespace slotring::supervisor {

namespace {

bool is_method_name(std::string_view name) { return shm::is_name(name) && printable(name) == name; }

}  // namespace

void MethodTable::adopt() {
  // Acquire: partner of the release in store().
  const std::uint32_t count = segment_.header().method_count.load(std::memory_order_acquire);
  for (MethodId id = 1; id <= std::min(count, layout::kMaxMethods); ++id) {
    std::string name = shm::load_name(segment_.method(id));
    if (!is_method_name(name) || !ids_.emplace(name, id).second) name.clear();
    methods_.push_back({std::move(name), false});
  }
}

Status MethodTable::restore(std::string_view name, MethodId id) {
  const auto refuse = [&](const char* why) -> Status {
    return Error{ErrorCode::kBadFrame, "the worker's method " + std::to_string(id) + " \"" +
                                           printable(name.substr(0, layout::kMaxNameBytes)) +
                                           "\" " + why};
  };
  if (!is_method_name(name) || id < 1 || id > layout::kMaxMethods) return refuse("is none");
  if (id <= methods_.size() && methods_[id - 1u].certain) {
    return methods_[id - 1u].name == name ? Status(Done{})
                                          : refuse("is another worker's by another name");
  }
  const auto known = ids_.find(name);
  if (known != ids_.end() && known->second != id) {
    Method& other = methods_[known->second - 1u];
    if (other.certain) return refuse("has another number in another worker");
    other.name.clear();
  }
  if (methods_.size() < id) methods_.resize(id);
  Method& method = methods_[id - 1u];
  if (!method.name.empty()) ids_.erase(method.name);
  ids_.insert_or_assign(std::string(name), id);
  method = {std::string(name), true};
  store(id, name);
  return Done{};
}

Result<MethodId> MethodTable::intern(std::string_view name) {
  if (const auto known = ids_.find(name); known != ids_.end()) return known->second;
  if (!is_method_name(name)) {
    return Error{ErrorCode::kInvalidArgument,
                 "the method name \"" + printable(name.substr(0, 2 * layout::kMaxNameBytes)) +
                     "\" must be 1 to " + std::to_string(layout::kMaxNameBytes) +
                     " printable bytes"};
  }
  if (size() == layout::kMaxMethods) {
    return Error{ErrorCode::kSystemLimit,
                 "a pool has at most " + std::to_string(layout::kMaxMethods) + " methods"};
  }
  methods_.push_back({std::string(name), true});
  const auto id = static_cast<MethodId>(size());
  ids_.emplace(name, id);
  store(id, name);
  return id;
}

std::string_view MethodTable::name_of(MethodId id) const {
  return id >= 1 && id <= size() ? std::string_view(methods_[id - 1u].name) : std::string_view();
}

std::vector<std::string> MethodTable::names() const {
  std::vector<std::string> names;
  for (const Method& method : methods_) names.push_back(method.name);
  return names;
}

void MethodTable::store(MethodId id, std::string_view name) {
  shm::store_name(segment_.method(id), name);
  // Release: who acquires the count may read the records that it covers.
  segment_.header().method_count.store(size(), std::memory_order_release);
}

}  // namespace slotring::supervisor
