#include "python_side/native/worker.h"

#include <fcntl.h>

#include <memory>
#include <optional>

#include "client_lib/shm/supervisor_link.h"
#include "python_side/native/active_call.h"
#include "python_side/native/error.h"
#include "python_side/native/module.h"
#include "python_side/native/server.h"
#include "python_side/native/session_table.h"

namespace slotring::python {

namespace {

using shm::SupervisorLink;

// What a Python Worker owns.
struct Joined {
  std::unique_ptr<SupervisorLink> link;
  Server server;
};

struct Worker {
  PyObject_HEAD Joined* joined;
};

Joined& joined_of(PyObject* self) { return *reinterpret_cast<Worker*>(self)->joined; }

shm::MonotonicNs deadline_after(double seconds) {
  return shm::monotonic_now() + static_cast<std::uint64_t>(seconds * 1e9);
}

// A child of a handler that held it open would hide this worker's end from the supervisor.
shm::UniqueFd own(int descriptor) {
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return shm::UniqueFd(descriptor);
}

PyObject* new_worker(PyTypeObject* type, PyObject* arguments, PyObject* /*keywords*/) {
  int socket = -1;
  int seat_socket = -1;
  const char* name = nullptr;
  double timeout_s = 0;
  if (!PyArg_ParseTuple(arguments, "iisd", &socket, &seat_socket, &name, &timeout_s)) {
    return nullptr;
  }
  const auto* state = static_cast<ModuleState*>(PyType_GetModuleState(type));
  auto link = std::make_unique<SupervisorLink>(own(socket), own(seat_socket));
  std::optional<Result<shm::WorkerSeat>> seat;
  {
    const GilRelease released;
    seat = link->attach(name, deadline_after(timeout_s));
  }
  if (!*seat) return raise(state->failure_type, seat->error());
  Worker* worker = PyObject_New(Worker, type);
  if (worker == nullptr) return nullptr;
  worker->joined =
      new Joined{std::move(link),
                 {**std::move(seat),
                  {state->area_type, state->context_type, state->channel_type, state->call_type}}};
  worker->joined->server.set_worker(as_object(worker));
  return as_object(worker);
}

void deallocate(PyObject* self) {
  delete reinterpret_cast<Worker*>(self)->joined;
  free_object(self);
}

// A TableSchema, or None. False with a Python exception.
bool parse_table(PyObject* item, PyTypeObject* type, Ref& into) {
  if (item == Py_None) return true;
  if (PyObject_TypeCheck(item, type) == 0) {
    PyErr_SetString(PyExc_TypeError, "a table is None or a TableSchema");
    return false;
  }
  into = Ref::share(item);
  return true;
}

// One (name, handler, wants_context, broadcast_only, request_table, reply_table) of publish()'s
// list.
bool parse_method(PyObject* item, PyTypeObject* table_type, Method& into) {
  PyObject* name = nullptr;
  PyObject* handler = nullptr;
  int wants_context = 0;
  int broadcast_only = 0;
  int takes_calls = 0;
  PyObject* request_table = nullptr;
  PyObject* reply_table = nullptr;
  if (!PyArg_ParseTuple(item, "UOpppOO", &name, &handler, &wants_context, &broadcast_only,
                        &takes_calls, &request_table, &reply_table)) {
    return false;
  }
  into = Method{text_of(name),
                Ref::share(name),
                Ref::share(handler),
                wants_context != 0,
                broadcast_only != 0,
                takes_calls != 0,
                {},
                {}};
  return parse_table(request_table, table_type, into.request_table) &&
         parse_table(reply_table, table_type, into.reply_table);
}

PyObject* publish_methods(PyObject* self, PyObject* arguments) {
  PyObject* list = nullptr;
  const char* runtime = nullptr;
  double timeout_s = 0;
  if (!PyArg_ParseTuple(arguments, "Osd", &list, &runtime, &timeout_s)) return nullptr;
  const auto* state = static_cast<ModuleState*>(PyType_GetModuleState(Py_TYPE(self)));
  std::vector<Method> methods;
  std::vector<std::string> names;
  for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
    PyObject* item = PyList_GetItem(list, i);
    if (!parse_method(item, state->table_schema_type, methods.emplace_back())) return nullptr;
    names.push_back(methods.back().name);
  }
  if (PyErr_Occurred() != nullptr) return nullptr;
  Joined& joined = joined_of(self);
  std::optional<Result<std::vector<std::uint16_t>>> ids;
  {
    const GilRelease released;
    ids = joined.link->publish(std::move(names), runtime, deadline_after(timeout_s));
  }
  if (!*ids) return raise_failure(self, ids->error());
  joined.server.bind(std::move(methods), **ids);
  return Ref::share(Py_None).release();
}

PyObject* fail_setup(PyObject* self, PyObject* arguments) {
  const char* python_type = nullptr;
  const char* message = nullptr;
  const char* traceback = nullptr;
  if (!PyArg_ParseTuple(arguments, "sss", &python_type, &message, &traceback)) return nullptr;
  const Error failure{.message = message, .python_type = python_type, .traceback = traceback};
  const Status sent = joined_of(self).link->send_setup_failed(failure);
  return sent ? Ref::share(Py_None).release() : raise_failure(self, sent.error());
}

PyObject* prepare(PyObject* self, PyObject* arguments) {
  PyObject* describe = nullptr;
  PyObject* no_such_method = nullptr;
  PyObject* sessions = nullptr;
  if (!PyArg_ParseTuple(arguments, "OOO", &describe, &no_such_method, &sessions)) return nullptr;
  joined_of(self).server.use(
      {Ref::share(describe), Ref::share(no_such_method), Ref::share(sessions)});
  return Ref::share(Py_None).release();
}

PyObject* serve(PyObject* self, PyObject* /*none*/) {
  return joined_of(self).server.serve() ? Ref::share(Py_None).release() : nullptr;
}

PyObject* take_next_call(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  if (!PyArg_ParseTuple(arguments, "|z", &method)) return nullptr;
  const auto* state = static_cast<ModuleState*>(PyType_GetModuleState(Py_TYPE(self)));
  Server& server = joined_of(self).server;
  if (method == nullptr) return next_call(state->call_type, self, server);
  return next_call(state->call_type, self, server, method);
}

PyObject* reconsider(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().reconsider();
  return Ref::share(Py_None).release();
}

// Of a seat that is not shared.
PyObject* wait_for_call(PyObject* self, PyObject* after) {
  const double after_s = PyFloat_AsDouble(after);
  if (PyErr_Occurred() != nullptr) return nullptr;
  {
    const GilRelease released;
    joined_of(self).server.seat().wait(deadline_after(after_s));
  }
  return Ref::share(Py_None).release();
}

PyObject* share(PyObject* self, PyObject* /*none*/) {
  const Status shared = joined_of(self).server.seat().share();
  return shared ? Ref::share(Py_None).release() : raise_failure(self, shared.error());
}

PyObject* serve_beside_others(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.serve_beside_others();
  return Ref::share(Py_None).release();
}

PyObject* attend(PyObject* self, PyObject* arguments) {
  PyObject* after = Py_None;
  unsigned seen = 0;
  if (!PyArg_ParseTuple(arguments, "IO", &seen, &after)) return nullptr;
  const double after_s = after == Py_None ? 0 : PyFloat_AsDouble(after);
  if (PyErr_Occurred() != nullptr) return nullptr;
  {
    const GilRelease released;
    joined_of(self).server.seat().shared()->await_interrupt(
        after == Py_None ? shm::kNever : deadline_after(after_s), seen);
  }
  return PyErr_CheckSignals() == 0 ? Ref::share(Py_None).release() : nullptr;
}

PyObject* nudge(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().interrupt();
  return Ref::share(Py_None).release();
}

PyObject* listen(PyObject* self, PyObject* /*none*/) {
  {
    const GilRelease released;
    joined_of(self).server.seat().shared()->listen();
  }
  return Ref::share(Py_None).release();
}

PyObject* end_listening(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().shared()->end_listening();
  return Ref::share(Py_None).release();
}

PyObject* heard(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().shared()->heard();
  return Ref::share(Py_None).release();
}

PyObject* set_alarm(PyObject* self, PyObject* after) {
  const double after_s = after == Py_None ? 0 : PyFloat_AsDouble(after);
  if (PyErr_Occurred() != nullptr) return nullptr;
  joined_of(self).server.set_alarm(after == Py_None ? shm::kNever : deadline_after(after_s));
  return Ref::share(Py_None).release();
}

PyObject* watch(PyObject* self, PyObject* arguments) {
  SupervisorLink::Concerns concerns;
  PyObject* patience = Py_None;
  int stay_for_clients = 0;
  if (!PyArg_ParseTuple(arguments, "iOp", &concerns.wake_fd, &patience, &stay_for_clients)) {
    return nullptr;
  }
  const double patience_s = patience == Py_None ? 0 : PyFloat_AsDouble(patience);
  if (PyErr_Occurred() != nullptr) return nullptr;
  Joined& joined = joined_of(self);
  concerns.draining = [&joined] { return joined.server.draining(); };
  concerns.on_drain = [&joined] { joined.server.drain(); };
  concerns.on_signal = [&joined] { joined.server.interrupt(); };
  concerns.stay_for_clients = stay_for_clients != 0;
  {
    const GilRelease released;
    joined.link->watch(concerns, patience == Py_None
                                     ? shm::kNever
                                     : static_cast<shm::MonotonicNs>(patience_s * 1e9));
  }
  return Ref::share(Py_None).release();
}

PyObject* drain(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.drain();
  return Ref::share(Py_None).release();
}

PyObject* stop(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.stop();
  return Ref::share(Py_None).release();
}

PyObject* pulse(PyObject* self, PyObject* cancel) {
  joined_of(self).server.pulse().run(cancel);
  return Ref::share(Py_None).release();
}

PyObject* end_pulse(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.pulse().end();
  return Ref::share(Py_None).release();
}

PyObject* disown(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.disown();
  return Ref::share(Py_None).release();
}

PyObject* settings(PyObject* self, PyObject* /*none*/) {
  return joined_of(self).server.settings().outcomes().release();
}

PyObject* goodbye(PyObject* self, PyObject* /*none*/) {
  // A supervisor that is gone needs no goodbye.
  (void)joined_of(self).link->send_goodbye().ok();
  return Ref::share(Py_None).release();
}

PyObject* get_pool(PyObject* self, void* /*closure*/) {
  return str_of(joined_of(self).server.seat().pool_name()).release();
}

PyObject* get_seat(PyObject* self, void* /*closure*/) {
  return PyLong_FromUnsignedLong(joined_of(self).server.seat().index());
}

PyObject* get_generation(PyObject* self, void* /*closure*/) {
  return PyLong_FromUnsignedLong(joined_of(self).server.seat().generation());
}

PyObject* get_sessions(PyObject* self, void* /*closure*/) {
  const auto* state = static_cast<ModuleState*>(PyType_GetModuleState(Py_TYPE(self)));
  return new_session_table(state->session_table_type, self, joined_of(self).server.seat())
      .release();
}

// What SeatRecord says: this worker's own word for the call that it runs. A call that waits for
// settings does not run yet: what cancels it must not cancel their making.
PyObject* get_running(PyObject* self, void* /*closure*/) {
  if (joined_of(self).server.settings().catching_up()) return PyLong_FromLong(0);
  const shm::WorkerSeat& seat = joined_of(self).server.seat();
  return PyLong_FromUnsignedLongLong(
      seat.segment().seat(seat.index()).running.load(std::memory_order_relaxed));
}

PyObject* get_event_fd(PyObject* self, void* /*closure*/) {
  return PyLong_FromLong(joined_of(self).server.seat().shared()->event_fd());
}

PyObject* get_interrupts(PyObject* self, void* /*closure*/) {
  return PyLong_FromUnsignedLong(joined_of(self).server.seat().shared()->interrupts());
}

PyObject* get_pending(PyObject* self, void* /*closure*/) {
  return PyBool_FromLong(joined_of(self).server.seat().pending() ? 1 : 0);
}

PyObject* get_stopped(PyObject* self, void* /*closure*/) {
  return PyBool_FromLong(joined_of(self).server.stopped() ? 1 : 0);
}

PyObject* get_draining(PyObject* self, void* /*closure*/) {
  return PyBool_FromLong(joined_of(self).server.draining() ? 1 : 0);
}

PyObject* get_may_leave(PyObject* self, void* /*closure*/) {
  return PyBool_FromLong(joined_of(self).server.may_leave() ? 1 : 0);
}

PyMethodDef worker_methods[] = {
    {"publish", publish_methods, METH_VARARGS, "Says Ready and waits until it is published."},
    {"fail_setup", fail_setup, METH_VARARGS, "Tells the supervisor that setting up has failed."},
    {"serve", serve, METH_NOARGS, "Serves calls until drained or stopped."},
    {"prepare", prepare, METH_VARARGS, "What serving needs of Python."},
    {"next_call", take_next_call, METH_VARARGS, "Takes a call that is requested, if one is."},
    {"reconsider", reconsider, METH_NOARGS, "Has next_call() look again at what it passed over."},
    {"wait_for_call", wait_for_call, METH_O, "Waits for a request, for so many seconds at most."},
    {"share", share, METH_NOARGS, "Lets several threads serve, or a loop."},
    {"serve_beside_others", serve_beside_others, METH_NOARGS,
     "serve(), on one of several threads."},
    {"attend", attend, METH_VARARGS, "Waits for an interrupt."},
    {"nudge", nudge, METH_NOARGS, "Interrupts all that wait."},
    {"listen", listen, METH_NOARGS, "Tells of rings by event_fd, until end_listening()."},
    {"end_listening", end_listening, METH_NOARGS, "Makes listen() return."},
    {"heard", heard, METH_NOARGS, "Empties event_fd, before a look at what there is."},
    {"set_alarm", set_alarm, METH_O, "serve() calls sessions.alarm() so many seconds from now."},
    {"watch", watch, METH_VARARGS, "Looks after signals and supervisors; returns when orphaned."},
    {"drain", drain, METH_NOARGS, "Makes serve() return when nothing is left to serve."},
    {"stop", stop, METH_NOARGS, "Makes serve() return after the running call."},
    {"pulse", pulse, METH_O, "Tells handlers of cancelled calls, until end_pulse()."},
    {"end_pulse", end_pulse, METH_NOARGS, "Makes pulse() return."},
    {"disown", disown, METH_NOARGS, "Makes this process, a fork, unable to serve."},
    {"settings", settings, METH_NOARGS, "The pool's settings, as this worker has made them."},
    {"goodbye", goodbye, METH_NOARGS, "Tells the supervisor that everything is released."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef worker_getset[] = {
    {"event_fd", get_event_fd, nullptr, "Readable when heard() has something to tell.", nullptr},
    {"interrupts", get_interrupts, nullptr, "How many there were, for attend().", nullptr},
    {"pending", get_pending, nullptr, "Whether next_call() might find something.", nullptr},
    {"stopped", get_stopped, nullptr, "Whether no call may be started any more.", nullptr},
    {"draining", get_draining, nullptr, "Whether it leaves when nothing is left.", nullptr},
    {"may_leave", get_may_leave, nullptr, "Whether serving ends with what runs.", nullptr},
    {"pool", get_pool, nullptr, "The pool's name.", nullptr},
    {"seat", get_seat, nullptr, "The worker's place in its pool, from 0.", nullptr},
    {"sessions", get_sessions, nullptr, "The pool's table of sessions.", nullptr},
    {"running", get_running, nullptr, "Names the call that runs; 0 when none does.", nullptr},
    {"generation", get_generation, nullptr, "Grows with each worker on this seat.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot worker_slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "Worker(socket_fd, seat_socket_fd, name, timeout_s): joins a pool as a worker.")},
    {Py_tp_new, reinterpret_cast<void*>(new_worker)},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, worker_methods},
    {Py_tp_getset, worker_getset},
    {0, nullptr},
};

}  // namespace

PyType_Spec worker_spec = {
    .name = "slotring._native.Worker",
    .basicsize = sizeof(Worker),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = worker_slots,
};

}  // namespace slotring::python
