#include "python_side/native/active_call.h"

#include <utility>

#include "python_side/native/error.h"
#include "schemas/control_layout.h"

namespace slotring::python {

namespace {

struct Held {
  Ref worker;  // owns the server
  Server& server;
  shm::RunningCall running;
  ServedCall served;
  bool ended = false;

  Held(Server& its_server, const shm::RunningCall& call)
      : worker(Ref::share(its_server.worker())),
        server(its_server),
        running(call),
        served(running) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  void finish(Result<WrittenReply> outcome) {
    ended = true;
    server.finish(served, std::move(outcome));
  }
};

struct Call {
  PyObject_HEAD Held* held;
};

Held& held_by(PyObject* self) { return *reinterpret_cast<Call*>(self)->held; }

// Null with a Python exception, when the call has ended.
Held* running_of(PyObject* self) {
  Held& held = held_by(self);
  if (!held.ended) return &held;
  PyErr_SetString(PyExc_RuntimeError, "the call has ended already");
  return nullptr;
}

PyObject* shared(const Ref& object) { return Ref(object).release(); }

PyObject* get_key(PyObject* self, void* /*closure*/) {
  const Held& held = held_by(self);
  const shm::WorkerSeat& seat = held.server.seat();
  const layout::RunningWord word{
      held.running.word.generation,
      static_cast<std::uint16_t>(held.running.slot - seat.segment().first_slot(seat.index())),
      held.running.head.method};
  return PyLong_FromUnsignedLongLong(word.pack());
}

PyObject* get_method(PyObject* self, void* /*closure*/) {
  return shared(held_by(self).served.method->name_object);
}

PyObject* get_handler(PyObject* self, void* /*closure*/) {
  return shared(held_by(self).served.method->handler);
}

PyObject* get_wants_context(PyObject* self, void* /*closure*/) {
  return PyBool_FromLong(held_by(self).served.method->wants_context ? 1 : 0);
}

PyObject* get_argument(PyObject* self, void* /*closure*/) {
  Held* held = running_of(self);
  return held == nullptr ? nullptr : shared(held->served.argument);
}

PyObject* get_context(PyObject* self, void* /*closure*/) {
  Held* held = running_of(self);
  return held == nullptr ? nullptr : Ref::share(held->server.context_of(held->served)).release();
}

PyObject* get_session(PyObject* self, void* /*closure*/) {
  const std::string_view session = held_by(self).running.session;
  if (held_by(self).ended || session.empty()) return none();
  return str_of(session).release();
}

PyObject* get_attended(PyObject* self, void* /*closure*/) {
  return PyBool_FromLong(held_by(self).running.head.flags != 0 ? 1 : 0);
}

PyObject* reply(PyObject* self, PyObject* result) {
  Held* held = running_of(self);
  if (held == nullptr) return nullptr;
  held->finish(held->server.write(held->served, result));
  return none();
}

PyObject* fail(PyObject* self, PyObject* exception) {
  Held* held = running_of(self);
  if (held == nullptr) return nullptr;
  std::optional<Error> error = held->server.exception_error(exception);
  if (!error) {
    PyErr_SetString(PyExc_TypeError, "fail() takes an exception");
    return nullptr;
  }
  held->finish(*std::move(error));
  return none();
}

PyObject* run(PyObject* self, PyObject* /*none*/) {
  Held* held = running_of(self);
  if (held == nullptr) return nullptr;
  held->finish(held->server.invoke(held->served));
  return none();
}

void deallocate(PyObject* self) {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  Held* held = reinterpret_cast<Call*>(self)->held;
  if (held != nullptr && !held->ended) {
    held->finish(Error{ErrorCode::kInternal, "the worker dropped the call without an outcome"});
  }
  delete held;
  free_object(self);
  PyErr_Restore(type, value, traceback);
}

PyMethodDef call_methods[] = {
    {"reply", reply, METH_O, "Ends the call with this result, or what is wrong with it."},
    {"fail", fail, METH_O, "Ends the call with this exception."},
    {"run", run, METH_NOARGS, "Calls the handler here and now, and ends the call."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef call_getset[] = {
    {"key", get_key, nullptr, "Names the call, as Worker.running does.", nullptr},
    {"method", get_method, nullptr, "The method's name.", nullptr},
    {"handler", get_handler, nullptr, "What is to be called.", nullptr},
    {"wants_context", get_wants_context, nullptr, "Whether the handler takes a context.", nullptr},
    {"argument", get_argument, nullptr, "The request.", nullptr},
    {"context", get_context, nullptr, "The call's slotring.Context.", nullptr},
    {"session", get_session, nullptr, "The name of its session; None for none.", nullptr},
    {"attended", get_attended, nullptr, "Whether its caller streams, or has tools.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot call_slots[] = {
    {Py_tp_doc, const_cast<char*>("A call that a worker serves. Ends exactly once.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, call_methods},
    {Py_tp_getset, call_getset},
    {0, nullptr},
};

}  // namespace

PyType_Spec active_call_spec = {
    .name = "slotring._native.Call",
    .basicsize = sizeof(Call),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

namespace {

// Before the call is taken: what is taken must be ended.
Ref new_call(PyTypeObject* call_type) {
  Ref object = Ref::steal(as_object(PyObject_New(Call, call_type)));
  if (object) reinterpret_cast<Call*>(object.get())->held = nullptr;
  return object;
}

PyObject* begin_in(Ref object, Server& server, const shm::RunningCall& taken) {
  auto* held = new Held(server, taken);
  reinterpret_cast<Call*>(object.get())->held = held;
  if (Status begun = server.begin(held->served); !begun) {
    held->finish(std::move(begun).error());
    return none();
  }
  return object.release();
}

}  // namespace

PyObject* next_call(Server& server, std::optional<std::string_view> method) {
  Ref object = new_call(server.types().call);
  if (!object) return nullptr;
  const std::optional<shm::RunningCall> taken = method ? server.take_of(*method) : server.take();
  if (!taken) return none();
  return begin_in(std::move(object), server, *taken);
}

PyObject* begin_call(Server& server, const shm::RunningCall& taken) {
  Ref object = new_call(server.types().call);
  if (!object) {
    server.seat().fail(taken, take_exception(ErrorCode::kInternal));
    return none();
  }
  return begin_in(std::move(object), server, taken);
}

}  // namespace slotring::python
