#include "python_side/native/call_session.h"

#include "python_side/native/error.h"

namespace slotring::python {

Result<Ref> open_session(PyObject* sessions, PyObject* describe, const shm::RunningCall& call) {
  const Ref name = Ref::steal(PyUnicode_DecodeUTF8(
      call.session.data(), static_cast<Py_ssize_t>(call.session.size()), nullptr));
  if (!name) return take_exception(ErrorCode::kInvalidArgument);
  const Ref deadline =
      call.head.deadline_ns == shm::kNever
          ? Ref::share(Py_None)
          : Ref::steal(PyFloat_FromDouble(static_cast<double>(call.head.deadline_ns) * 1e-9));
  if (!deadline) return take_exception(ErrorCode::kInternal);
  Ref session = Ref::steal(PyObject_CallMethod(sessions, "open", "OO", name.get(), deadline.get()));
  if (!session) return take_handler_exception(describe);
  return session;
}

Status close_session(PyObject* sessions, PyObject* describe, PyObject* session, bool succeeded) {
  const Ref closed = Ref::steal(
      PyObject_CallMethod(sessions, "close", "OO", session, succeeded ? Py_True : Py_False));
  if (!closed) return take_handler_exception(describe);
  return Done{};
}

}  // namespace slotring::python
