#include "python_side/native/worker.h"

#include <fcntl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client_lib/shm/supervisor_link.h"
#include "python_side/native/active_call.h"
#include "python_side/native/joined_worker.h"
#include "python_side/native/module.h"
#include "python_side/native/published_methods.h"
#include "python_side/native/seconds.h"
#include "python_side/native/server.h"

namespace slotring::python {

namespace {

using shm::SupervisorLink;

// A child of a handler that held it open would hide this worker's end from the supervisor.
shm::UniqueFd own(int descriptor) {
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  return shm::UniqueFd(descriptor);
}

PyObject* new_worker(PyTypeObject* type, PyObject* arguments, PyObject* /*keywords*/) {
  int socket = -1;
  int seat_socket = -1;
  const char* name = nullptr;
  shm::MonotonicNs deadline = shm::kNever;
  if (!PyArg_ParseTuple(arguments, "iisO&", &socket, &seat_socket, &name, parse_deadline,
                        &deadline)) {
    return nullptr;
  }
  auto link = std::make_unique<SupervisorLink>(own(socket), own(seat_socket));
  std::optional<Result<shm::WorkerSeat>> seat;
  {
    const GilRelease released;
    seat = link->attach(name, deadline);
  }
  if (!*seat) return raise_failure(type, seat->error());
  Worker* worker = PyObject_New(Worker, type);
  if (worker == nullptr) return nullptr;
  const ModuleState& module = module_of(type);
  worker->joined =
      new Joined{std::move(link),
                 {**std::move(seat),
                  {module.area_type, module.context_type, module.channel_type, module.call_type}}};
  worker->joined->server.set_worker(as_object(worker));
  return as_object(worker);
}

void deallocate(PyObject* self) {
  delete reinterpret_cast<Worker*>(self)->joined;
  free_object(self);
}

PyObject* publish_methods(PyObject* self, PyObject* arguments) {
  PyObject* list = nullptr;
  const char* runtime = nullptr;
  shm::MonotonicNs deadline = shm::kNever;
  if (!PyArg_ParseTuple(arguments, "OsO&", &list, &runtime, parse_deadline, &deadline)) {
    return nullptr;
  }
  std::optional<std::vector<Method>> methods =
      parse_methods(list, module_of(Py_TYPE(self)).table_schema_type);
  if (!methods) return nullptr;
  std::vector<std::string> names;
  for (const Method& method : *methods) names.push_back(method.name);
  Joined& joined = joined_of(self);
  std::optional<Result<std::vector<std::uint16_t>>> ids;
  {
    const GilRelease released;
    ids = joined.link->publish(std::move(names), runtime, deadline);
  }
  if (!*ids) return raise_failure(self, ids->error());
  joined.server.bind(*std::move(methods), **ids);
  return none();
}

PyObject* fail_setup(PyObject* self, PyObject* arguments) {
  const char* python_type = nullptr;
  const char* message = nullptr;
  const char* traceback = nullptr;
  if (!PyArg_ParseTuple(arguments, "sss", &python_type, &message, &traceback)) return nullptr;
  const Error failure{.message = message, .python_type = python_type, .traceback = traceback};
  const Status sent = joined_of(self).link->send_setup_failed(failure);
  return sent ? none() : raise_failure(self, sent.error());
}

PyObject* prepare(PyObject* self, PyObject* arguments) {
  PyObject* describe = nullptr;
  PyObject* no_such_method = nullptr;
  PyObject* sessions = nullptr;
  if (!PyArg_ParseTuple(arguments, "OOO", &describe, &no_such_method, &sessions)) return nullptr;
  joined_of(self).server.use(
      {Ref::share(describe), Ref::share(no_such_method), Ref::share(sessions)});
  return none();
}

PyObject* serve(PyObject* self, PyObject* /*none*/) {
  return joined_of(self).server.serve() ? none() : nullptr;
}

PyObject* take_next_call(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  if (!PyArg_ParseTuple(arguments, "|z", &method)) return nullptr;
  Server& server = joined_of(self).server;
  return method == nullptr ? next_call(server) : next_call(server, method);
}

PyObject* reconsider(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().reconsider();
  return none();
}

// Of a seat that is not shared.
PyObject* wait_for_call(PyObject* self, PyObject* after) {
  shm::MonotonicNs deadline = shm::kNever;
  if (parse_deadline(after, &deadline) == 0) return nullptr;
  {
    const GilRelease released;
    joined_of(self).server.seat().wait(deadline);
  }
  return none();
}

PyObject* share(PyObject* self, PyObject* /*none*/) {
  const Status shared = joined_of(self).server.seat().share();
  return shared ? none() : raise_failure(self, shared.error());
}

PyObject* serve_beside_others(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.serve_beside_others();
  return none();
}

PyObject* attend(PyObject* self, PyObject* arguments) {
  unsigned seen = 0;
  shm::MonotonicNs deadline = shm::kNever;
  if (!PyArg_ParseTuple(arguments, "IO&", &seen, parse_deadline, &deadline)) return nullptr;
  {
    const GilRelease released;
    joined_of(self).server.seat().shared()->await_interrupt(deadline, seen);
  }
  return PyErr_CheckSignals() == 0 ? none() : nullptr;
}

PyObject* nudge(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().interrupt();
  return none();
}

PyObject* listen(PyObject* self, PyObject* /*none*/) {
  {
    const GilRelease released;
    joined_of(self).server.seat().shared()->listen();
  }
  return none();
}

PyObject* end_listening(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().shared()->end_listening();
  return none();
}

PyObject* heard(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.seat().shared()->heard();
  return Ref::share(Py_None).release();
}

PyObject* set_alarm(PyObject* self, PyObject* after) {
  shm::MonotonicNs at = shm::kNever;
  if (parse_deadline(after, &at) == 0) return nullptr;
  joined_of(self).server.set_alarm(at);
  return none();
}

PyObject* watch(PyObject* self, PyObject* arguments) {
  SupervisorLink::Concerns concerns;
  std::uint64_t patience_ns = shm::kNever;
  int stay_for_clients = 0;
  if (!PyArg_ParseTuple(arguments, "iO&p", &concerns.wake_fd, parse_duration, &patience_ns,
                        &stay_for_clients)) {
    return nullptr;
  }
  Joined& joined = joined_of(self);
  concerns.draining = [&joined] { return joined.server.draining(); };
  concerns.on_drain = [&joined] { joined.server.drain(); };
  concerns.on_signal = [&joined] { joined.server.interrupt(); };
  concerns.stay_for_clients = stay_for_clients != 0;
  {
    const GilRelease released;
    joined.link->watch(concerns, patience_ns);
  }
  return none();
}

PyObject* drain(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.drain();
  return none();
}

PyObject* stop(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.stop();
  return none();
}

PyObject* pulse(PyObject* self, PyObject* cancel) {
  joined_of(self).server.pulse().run(cancel);
  return none();
}

PyObject* end_pulse(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.pulse().end();
  return none();
}

PyObject* disown(PyObject* self, PyObject* /*none*/) {
  joined_of(self).server.disown();
  return none();
}

PyObject* settings(PyObject* self, PyObject* /*none*/) {
  return joined_of(self).server.settings().outcomes().release();
}

PyObject* goodbye(PyObject* self, PyObject* /*none*/) {
  // A supervisor that is gone needs no goodbye.
  (void)joined_of(self).link->send_goodbye().ok();
  return none();
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

PyType_Slot worker_slots[] = {
    {Py_tp_doc,
     const_cast<char*>(
         "Worker(socket_fd, seat_socket_fd, name, timeout_s): joins a pool as a worker.")},
    {Py_tp_new, reinterpret_cast<void*>(new_worker)},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, worker_methods},
    {Py_tp_getset, worker_properties},
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
