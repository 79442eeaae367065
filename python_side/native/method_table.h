// The methods that a worker serves, and the two ways in which a call names one: by the id that its
// client has learned, or by its name.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_METHOD_TABLE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_METHOD_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "slotring/error.h"

namespace slotring::python {

struct Method {
  std::string name;
  Ref name_object;  // the same, as a str
  Ref handler;      // handler(request) or handler(request, context)
  bool wants_context;
  bool broadcast_only;  // made by settings, refused to plain calls
  bool takes_calls;     // handler(call): it ends the call itself, and may take more
  Ref request_table;    // a TableSchema (table.h); null for none
  Ref reply_table;

  bool tables() const { return request_table || reply_table; }
};

class MethodTable {
 public:
  MethodTable() : by_id_(layout::kMaxMethods + 1) {}
  // The table is of pointers into `methods_`.
  MethodTable(const MethodTable&) = delete;
  MethodTable& operator=(const MethodTable&) = delete;

  // Makes `methods` known by these ids. Once. REQUIRES: as many ids.
  void bind(std::vector<Method> methods, const std::vector<std::uint16_t>& ids);

  // Null for one that the worker does not serve.
  const Method* find(const shm::RunningCall& call) const {
    if (call.head.method == 0) return find(call.method_name);
    return call.head.method < by_id_.size() ? by_id_[call.head.method] : nullptr;
  }
  const Method* find(std::string_view name) const;

  bool some_take_calls() const;

 private:
  std::vector<Method> methods_;
  std::vector<const Method*> by_id_;
  std::map<std::string, const Method*, std::less<>> by_name_;
};

// The name of the method that a call asks for, or "#ID" where nobody has one for its id.
std::string asked_name(const shm::ControlSegment& segment, const shm::RunningCall& call);

// Of a method that is not served. `explain(name)`, a Python function, makes its message.
Error unknown_method(const std::string& name, PyObject* explain);
// Of a plain call to a method that only broadcasts call.
Error broadcast_only(const Method& method);
// Why `what`, which is no call with a slot and an envelope of its own, cannot be one of `method`.
std::optional<Error> unfit_beside_calls(const Method& method, std::string_view what);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_METHOD_TABLE_H_
