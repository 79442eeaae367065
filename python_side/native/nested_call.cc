// A call that a tool makes inside the call that asks it: its handler runs in that one's slot.

#include "python_side/native/context.h"
#include "python_side/native/server.h"

namespace slotring::python {

Result<Ref> Server::run_nested(const shm::RunningCall& nested, Ref argument, PyObject* channel) {
  ServedCall served(nested);
  served.method = find(nested);
  if (served.method == nullptr) return no_such_method(nested);
  if (served.method->broadcast_only) return broadcast_only(*served.method);
  if (std::optional<Error> unfit = unfit_beside_calls(*served.method, "a call made by a tool")) {
    return *std::move(unfit);
  }
  served.argument = std::move(argument);
  served.channel = Ref::share(channel);
  Result<Ref> result = call_handler(served);
  if (served.context) end_context(served.context.get());
  end_if_disowned();
  if (!result) return result;
  if (std::optional<Error> returned = exception_error(result->get())) return *std::move(returned);
  if (is_generator(result->get())) {
    return Error{ErrorCode::kStreamRequired,
                 "the method '" + served.method->name +
                     "' streams, and a call that a tool makes inside another reads no stream"};
  }
  return result;
}

}  // namespace slotring::python
