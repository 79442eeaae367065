#include "python_side/native/context.h"

#include "python_side/native/channel.h"
#include "python_side/native/error.h"
#include "python_side/native/module.h"
#include "python_side/native/seconds.h"
#include "python_side/native/tensor_objects.h"

namespace slotring::python {

namespace {

struct Context {
  PyObject_HEAD const shm::WorkerSeat* seat;  // null when the call is over
  const shm::RunningCall* call;
  ReplyArrays* arrays;  // null when the call is over, or where it has no reply
  PyObject* method;
  PyObject* session;
  PyObject* broadcast_key;
  PyObject* handler;  // borrowed; null when the call is over
  PyObject* channel;  // or null
  PyObject* tools;    // null until they are wanted
  std::uint8_t flags;
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
  return deadline_ns == shm::kNever ? none() : seconds_until(deadline_ns);
}

PyObject* get_cancelled(PyObject* self, void* /*closure*/) {
  const Context* context = as_context(self);
  // A setting's call (settings.h) has no number, and nobody who could leave it.
  const bool gone = context->seat == nullptr ||
                    (context->call_id != 0 && context->seat->cancelled(*context->call)) ||
                    shm::has_passed(context->deadline_ns);
  return PyBool_FromLong(gone ? 1 : 0);
}

PyObject* make_empty(PyObject* self, PyObject* arguments, PyObject* keywords) {
  static const char* names[] = {"shape", "dtype", nullptr};
  PyObject* shape_object = nullptr;
  PyObject* dtype_object = nullptr;
  if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O", const_cast<char**>(names),
                                   &shape_object, &dtype_object)) {
    return nullptr;
  }
  const std::optional<Shape> shape = shape_of_object(shape_object);
  const std::optional<DType> dtype =
      dtype_object == nullptr ? DType::kFloat32 : dtype_of_object(dtype_object);
  if (PyErr_Occurred() != nullptr || !shape || !dtype) return nullptr;
  const Context* context = as_context(self);
  if (context->arrays == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "the call is over, or it has no reply to make arrays in");
    return nullptr;
  }
  Result<Ref> view = context->arrays->empty(*context->call, *dtype, *shape);
  if (!view) {
    Error error = std::move(view).error();
    error.message = "ctx.empty() in '" + text_of(context->method) + "': " + error.message;
    return raise_call_error(error);
  }
  return array_over(view->get()).release();
}

// The call's channel, if the call has what it is wanted for; else one that has nothing.
Ref channel_for(PyObject* self, std::uint8_t flags) {
  const Context* context = as_context(self);
  if (context->channel != nullptr && (context->flags & flags) != 0) {
    return Ref::share(context->channel);
  }
  return new_channel(module_of(Py_TYPE(self)).channel_type, nullptr, nullptr);
}

PyObject* get_incoming(PyObject* self, void* /*closure*/) {
  return channel_for(self, static_cast<std::uint8_t>(wire::FrameFlags::WritesStream)).release();
}

PyObject* get_outgoing(PyObject* self, void* /*closure*/) {
  return channel_for(self, static_cast<std::uint8_t>(wire::FrameFlags::ReadsStream)).release();
}

PyObject* get_tools(PyObject* self, void* /*closure*/) {
  Context* context = as_context(self);
  if (context->tools == nullptr) {
    const Ref module = Ref::steal(PyImport_ImportModule("slotring.tools"));
    const Ref channel =
        channel_for(self, static_cast<std::uint8_t>(wire::FrameFlags::AnswersTools));
    if (!module || !channel) return nullptr;
    context->tools = PyObject_CallMethod(module.get(), "Tools", "OO", channel.get(),
                                         context->handler != nullptr ? context->handler : Py_None);
  }
  return Ref::share(context->tools).release();
}

void deallocate(PyObject* self) {
  Py_XDECREF(as_context(self)->channel);
  Py_XDECREF(as_context(self)->tools);
  Py_XDECREF(as_context(self)->method);
  Py_XDECREF(as_context(self)->session);
  Py_XDECREF(as_context(self)->broadcast_key);
  free_object(self);
}

PyMethodDef context_methods[] = {
    {"empty", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(make_empty)),
     METH_VARARGS | METH_KEYWORDS,
     "empty(shape, dtype='float32'): a writable array in the reply's memory. Returned, or as a "
     "view "
     "of it, or in a list or dict, it is sent without a copy."},
    {nullptr, nullptr, 0, nullptr},
};

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
    {"incoming", get_incoming, nullptr, "The items that the caller sends while the call runs.",
     nullptr},
    {"tools", get_tools, nullptr, "The caller's functions that the handler may call.", nullptr},
    {"_outgoing", get_outgoing, nullptr, "For slotring.streams.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot context_slots[] = {
    {Py_tp_doc,
     const_cast<char*>("What a handler may know of its call. Lives as long as the call.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, context_methods},
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
                const shm::RunningCall& call, const CallFacts& facts) {
  Context* context = PyObject_New(Context, context_type);
  if (context == nullptr) return Ref();
  context->seat = &seat;
  context->call = &call;
  context->arrays = nullptr;
  context->method = Ref::share(facts.method).release();
  context->session = Ref::share(facts.session).release();
  context->broadcast_key = Ref::share(facts.broadcast_key).release();
  context->handler = facts.handler;
  context->channel = Ref::share(facts.channel).release();
  context->tools = nullptr;
  context->flags = call.head.flags;
  context->call_id = call.head.call_id;
  context->deadline_ns = call.head.deadline_ns;
  return Ref::steal(as_object(context));
}

void end_context(PyObject* context) {
  as_context(context)->seat = nullptr;
  as_context(context)->call = nullptr;
  as_context(context)->arrays = nullptr;
  as_context(context)->handler = nullptr;
}

void give_arrays(PyObject* context, ReplyArrays& arrays) { as_context(context)->arrays = &arrays; }

}  // namespace slotring::python
