#include "tests/python/harness/session_methods.h"

#include <optional>

#include "python_side/native/buffer_view.h"
#include "tests/python/harness/pool.h"

namespace slotring::testing {

using python::BufferView;
using python::GilRelease;
using python::Ref;

// start_in_session(seat, session, method, kind, payload, timeout_s): the slot of the call.
PyObject* start_in_session(PyObject* self, PyObject* arguments) {
  unsigned seat = 0;
  const char* session = nullptr;
  const char* method = nullptr;
  int kind = 0;
  PyObject* payload = nullptr;
  double timeout_s = 0;
  if (!PyArg_ParseTuple(arguments, "IssiOd", &seat, &session, &method, &kind, &payload,
                        &timeout_s)) {
    return nullptr;
  }
  const BufferView bytes(payload, PyBUF_SIMPLE);
  if (!bytes.held()) return nullptr;
  const auto* begin = static_cast<const std::byte*>(bytes->buf);
  const Result<shm::SlotIndex> slot = of(self).session_calls.start(
      seat, {session, method, kind, {begin, begin + bytes->len}}, deadline_in(timeout_s));
  return slot ? PyLong_FromUnsignedLong(*slot) : raise(self, slot.error());
}

// finish_in_session(slot): waits; returns (kind, bytes).
PyObject* finish_in_session(PyObject* self, PyObject* slot) {
  const auto index = static_cast<shm::SlotIndex>(PyLong_AsUnsignedLong(slot));
  std::optional<Result<SessionReply>> reply;
  {
    const GilRelease released;
    reply = of(self).session_calls.finish(index);
  }
  if (!*reply) return raise(self, reply->error());
  return Py_BuildValue("(iy#)", (*reply)->kind,
                       reinterpret_cast<const char*>((*reply)->bytes.data()),
                       static_cast<Py_ssize_t>((*reply)->bytes.size()));
}

// session(name): (home seat or -1, has state) of its record; None when there is none.
PyObject* session(PyObject* self, PyObject* name) {
  const shm::SessionTable& table = of(self).session_calls.table();
  const auto found = table.find(PyUnicode_AsUTF8AndSize(name, nullptr));
  if (!found) return raise(self, found.error());
  if (!*found) return none();
  const shm::SessionWord word = (*found)->word;
  return Py_BuildValue("(iO)", word.home - 1, word.has_state() ? Py_True : Py_False);
}

PyObject* end_session(PyObject* self, PyObject* name) {
  const bool ended = of(self).session_calls.end(PyUnicode_AsUTF8AndSize(name, nullptr));
  return PyBool_FromLong(ended ? 1 : 0);
}

PyObject* lose_session(PyObject* self, PyObject* name) {
  const bool lost = of(self).session_calls.lose(PyUnicode_AsUTF8AndSize(name, nullptr));
  return PyBool_FromLong(lost ? 1 : 0);
}

// place_session(name, seat, generation): that worker is said to have its state.
PyObject* place_session(PyObject* self, PyObject* arguments) {
  const char* name = nullptr;
  unsigned seat = 0;
  unsigned generation = 0;
  if (!PyArg_ParseTuple(arguments, "sII", &name, &seat, &generation)) return nullptr;
  return PyBool_FromLong(of(self).session_calls.place(name, seat, generation) ? 1 : 0);
}

// age_session(name, seconds): it was last used so long ago.
PyObject* age_session(PyObject* self, PyObject* arguments) {
  const char* name = nullptr;
  double seconds = 0;
  if (!PyArg_ParseTuple(arguments, "sd", &name, &seconds)) return nullptr;
  const bool found = of(self).session_calls.age(name, static_cast<std::uint64_t>(seconds * 1e9));
  return PyBool_FromLong(found ? 1 : 0);
}

// service(seat): (calls by category, total ns, calls by latency bucket) that its worker counted.
PyObject* service(PyObject* self, PyObject* seat) {
  const auto index = static_cast<shm::SeatIndex>(PyLong_AsUnsignedLong(seat));
  const layout::CallStats& stats = of(self).pool.segment().seat_stats(index);
  const auto list = [](const auto& counts) {
    Ref made = Ref::steal(PyList_New(0));
    for (const auto& count : counts) {
      const Ref number = Ref::steal(PyLong_FromUnsignedLongLong(count.load()));
      PyList_Append(made.get(), number.get());
    }
    return made;
  };
  return Py_BuildValue("(OKO)", list(stats.ended).get(),
                       static_cast<unsigned long long>(stats.total_ns.load()),
                       list(stats.latency).get());
}

}  // namespace slotring::testing
