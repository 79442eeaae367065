// What a Worker tells of its seat, of the call that runs, and of whether it is to leave.

#include "python_side/native/joined_worker.h"
#include "python_side/native/module.h"
#include "python_side/native/session_table.h"

namespace slotring::python {

namespace {

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
  return new_session_table(module_of(Py_TYPE(self)).session_table_type, self,
                           joined_of(self).server.seat())
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

}  // namespace

PyGetSetDef worker_properties[] = {
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

}  // namespace slotring::python
