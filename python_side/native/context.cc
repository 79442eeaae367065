#include "python_side/native/context.h"

namespace slotring::python {

namespace {

struct Context {
  PyObject_HEAD const shm::WorkerSeat* seat;  // null when the call is over
  const shm::RunningCall* call;
  PyObject* method;
  PyObject* session;
  PyObject* broadcast_key;
  std::uint64_t call_id;
  std::uint64_t deadline_ns;
};

Context* as_context(PyObject* self) { return reinterpret_cast<Context*>(self); }

PyObject* get_call_id(PyObject* self, void* /*closure*/) {
  return PyLong_FromUnsignedLongLong(as_context(self)->call_id);
}

PyObject* get_method(PyObject* self, void* /*closure*/) {
  return Ref::share(as_context(self)->method).release();
}

PyObject* get_session(PyObject* self, void* /*closure*/) {
  return Ref::share(as_context(self)->session).release();
}

PyObject* get_broadcast_key(PyObject* self, void* /*closure*/) {
  return Ref::share(as_context(self)->broadcast_key).release();
}

PyObject* get_remaining_s(PyObject* self, void* /*closure*/) {
  const std::uint64_t deadline_ns = as_context(self)->deadline_ns;
  if (deadline_ns == shm::kNever) return Ref::share(Py_None).release();
  const shm::MonotonicNs now = shm::monotonic_now();
  return PyFloat_FromDouble(now < deadline_ns ? static_cast<double>(deadline_ns - now) * 1e-9
                                              : 0.0);
}

PyObject* get_cancelled(PyObject* self, void* /*closure*/) {
  const Context* context = as_context(self);
  // A setting's call (settings.h) has no number, and nobody who could leave it.
  const bool gone =
      context->seat == nullptr ||
      (context->call_id != 0 && context->seat->cancelled(*context->call)) ||
      (context->deadline_ns != shm::kNever && shm::monotonic_now() >= context->deadline_ns);
  return PyBool_FromLong(gone ? 1 : 0);
}

void deallocate(PyObject* self) {
  Py_XDECREF(as_context(self)->method);
  Py_XDECREF(as_context(self)->session);
  Py_XDECREF(as_context(self)->broadcast_key);
  free_object(self);
}

PyGetSetDef context_getset[] = {
    {"call_id", get_call_id, nullptr, "The call's number, unique in its pool.", nullptr},
    {"method", get_method, nullptr, "The name that the method was called by.", nullptr},
    {"session", get_session, nullptr, "The call's session, a mapping; None when it has none.",
     nullptr},
    {"broadcast_key", get_broadcast_key, nullptr,
     "What the broadcast is about that makes this call; None for a plain call.", nullptr},
    {"remaining_s", get_remaining_s, nullptr,
     "Seconds until the call's deadline, not below 0; None when it has none.", nullptr},
    {"cancelled", get_cancelled, nullptr,
     "Whether nobody waits for the reply any more: cancelled, late, or the caller died.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot context_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("What a handler may know of its call. Lives as long as the call.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_getset, context_getset},
    {0, nullptr},
};

}  // namespace

PyType_Spec context_spec = {
    .name = "slotring.Context",
    .basicsize = sizeof(Context),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = context_slots,
};

Ref new_context(PyTypeObject* context_type, const shm::WorkerSeat& seat,
                const shm::RunningCall& call, PyObject* method, PyObject* session,
                PyObject* broadcast_key) {
  Context* context = PyObject_New(Context, context_type);
  if (context == nullptr) return Ref();
  context->seat = &seat;
  context->call = &call;
  context->method = Ref::share(method).release();
  context->session = Ref::share(session).release();
  context->broadcast_key = Ref::share(broadcast_key).release();
  context->call_id = call.head.call_id;
  context->deadline_ns = call.head.deadline_ns;
  return Ref::steal(as_object(context));
}

void end_context(PyObject* context) {
  as_context(context)->seat = nullptr;
  as_context(context)->call = nullptr;
}

}  // namespace slotring::python
