#include "python_side/native/method_table.h"

#include <algorithm>
#include <utility>

#include "python_side/native/error.h"
#include "python_side/native/table.h"

namespace slotring::python {

void MethodTable::bind(std::vector<Method> methods, const std::vector<std::uint16_t>& ids) {
  methods_ = std::move(methods);
  for (std::size_t i = 0; i < methods_.size(); ++i) {
    by_name_[methods_[i].name] = &methods_[i];
    if (ids[i] < by_id_.size()) by_id_[ids[i]] = &methods_[i];
  }
}

const Method* MethodTable::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : found->second;
}

bool MethodTable::some_take_calls() const {
  return std::any_of(methods_.begin(), methods_.end(),
                     [](const Method& method) { return method.takes_calls; });
}

std::string asked_name(const shm::ControlSegment& segment, const shm::RunningCall& call) {
  if (call.head.method == 0) return std::string(call.method_name);
  // Acquire: partner of the supervisor's release after it wrote the record.
  const std::uint32_t known = segment.header().method_count.load(std::memory_order_acquire);
  if (call.head.method <= known && call.head.method <= layout::kMaxMethods) {
    return shm::load_name(segment.method(call.head.method));
  }
  return "#" + std::to_string(call.head.method);
}

Error unknown_method(const std::string& name, PyObject* explain) {
  Error error{ErrorCode::kMethodNotFound, "no method '" + name + "'"};
  const Ref name_object = str_of(name);
  const Ref message =
      name_object ? Ref::steal(PyObject_CallFunctionObjArgs(explain, name_object.get(), nullptr))
                  : Ref();
  if (message) {
    error.message = text_of(message.get());
  } else {
    PyErr_Clear();
  }
  return error;
}

Error broadcast_only(const Method& method) {
  return Error{ErrorCode::kBroadcastOnly,
               "the method '" + method.name +
                   "' is for all workers of the pool, and not for one: use Client::broadcast(), or "
                   "slotring call --broadcast"};
}

std::optional<Error> unfit_beside_calls(const Method& method, std::string_view what) {
  if (method.tables()) return no_tables_here(method.name, what);
  if (method.takes_calls) {
    return Error{ErrorCode::kInvalidArgument, "the method '" + method.name +
                                                  "' takes batches of calls, and " +
                                                  std::string(what) + " cannot be in one"};
  }
  return std::nullopt;
}

}  // namespace slotring::python
