#include "python_side/native/session_table.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <vector>

#include "client_lib/shm/session_table.h"
#include "python_side/native/module.h"

namespace slotring::python {

namespace {

using layout::SeatState;
using shm::SessionIndex;
using shm::SessionWord;

// Where a session's state is, in a pool whose workers keep them. NO_STATE, ... in
// session_keepers.py.
enum class Standing : int { kNoState = 0, kHere = 1, kElsewhere = 2, kLost = 3 };

struct Table {
  PyObject_HEAD PyObject* worker;
  const shm::WorkerSeat* seat;
};

const shm::WorkerSeat& seat_of(PyObject* self) { return *reinterpret_cast<Table*>(self)->seat; }
const shm::ControlSegment& segment_of(PyObject* self) { return seat_of(self).segment(); }
shm::SessionTable table_of(PyObject* self) { return shm::SessionTable(segment_of(self)); }
std::uint16_t home_of(const shm::WorkerSeat& seat) {
  return static_cast<std::uint16_t>(seat.index() + 1);
}

Standing standing_of(const shm::WorkerSeat& seat, SessionIndex index, const SessionWord& word) {
  if (!word.has_state()) return Standing::kNoState;
  const shm::ControlSegment& segment = seat.segment();
  if (word.home == layout::kNoHome || word.home > segment.geometry().max_workers) {
    return Standing::kLost;
  }
  // Acquire: partner of the release in hold().
  const std::uint32_t generation =
      segment.session(index).home_generation.load(std::memory_order_acquire);
  if (word.home == home_of(seat)) {
    return generation == seat.generation() ? Standing::kHere : Standing::kLost;
  }
  const layout::SeatWord home = segment.seat_word(word.home - 1u);
  const bool lives = home.generation == generation &&
                     (home.state == SeatState::kStarting || home.state == SeatState::kReady ||
                      home.state == SeatState::kDraining);
  return lives ? Standing::kElsewhere : Standing::kLost;
}

double idle_s_of(const layout::SessionRecord& record) {
  const std::uint64_t used = record.last_used_ns.load(std::memory_order_relaxed);
  std::uint64_t now = shm::monotonic_now();
  if (used != 0) return now > used ? static_cast<double>(now - used) * 1e-9 : 0.0;
  // Nobody has used it since it was made.
  const std::uint64_t made = record.created_ns.load(std::memory_order_relaxed);
  now = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                       std::chrono::system_clock::now().time_since_epoch())
                                       .count());
  return now > made ? static_cast<double>(now - made) * 1e-9 : 0.0;
}

std::optional<std::string_view> text(PyObject* object) {
  Py_ssize_t bytes = 0;
  const char* utf8 = PyUnicode_AsUTF8AndSize(object, &bytes);
  if (utf8 == nullptr) return std::nullopt;
  return std::string_view(utf8, static_cast<std::size_t>(bytes));
}

PyObject* place(const shm::FoundSession& found) {
  return Py_BuildValue("(II)", found.index, found.word.incarnation);
}

PyObject* open(PyObject* self, PyObject* name) {
  const std::optional<std::string_view> bytes = text(name);
  if (!bytes) return nullptr;
  const std::uint16_t creator = shm::creator_seat(seat_of(self).index());
  const Result<shm::FoundSession> found = table_of(self).find_or_create(*bytes, creator);
  return found ? place(*found) : raise_failure(self, found.error());
}

PyObject* find(PyObject* self, PyObject* name) {
  const std::optional<std::string_view> bytes = text(name);
  if (!bytes) return nullptr;
  const Result<std::optional<shm::FoundSession>> found = table_of(self).find(*bytes);
  if (!found) return raise_failure(self, found.error());
  return *found ? place(**found) : none();
}

bool check_index(PyObject* self, SessionIndex index) {
  if (index < segment_of(self).geometry().max_sessions) return true;
  PyErr_SetString(PyExc_IndexError, "no such session record");
  return false;
}

PyObject* look(PyObject* self, PyObject* arguments) {
  SessionIndex index = 0;
  unsigned incarnation = 0;
  if (!PyArg_ParseTuple(arguments, "II", &index, &incarnation) || !check_index(self, index)) {
    return nullptr;
  }
  const SessionWord word = table_of(self).word(index);
  if (word.incarnation != incarnation || word.state != layout::SessionState::kActive) {
    return none();
  }
  return Py_BuildValue("(Ki)", static_cast<unsigned long long>(word.pack()),
                       static_cast<int>(standing_of(seat_of(self), index, word)));
}

// The (index, word) of those that change a record.
bool parse_step(PyObject* self, PyObject* arguments, SessionIndex& index, SessionWord& seen) {
  unsigned long long word = 0;
  if (!PyArg_ParseTuple(arguments, "IK", &index, &word)) return false;
  seen = SessionWord::unpack(word);
  return check_index(self, index);
}

PyObject* declare_lost(PyObject* self, PyObject* arguments) {
  SessionIndex index = 0;
  SessionWord seen;
  if (!parse_step(self, arguments, index, seen)) return nullptr;
  const auto flags =
      static_cast<std::uint8_t>((seen.flags & ~layout::kFlagHasState) + layout::kLossStep);
  const bool first = table_of(self).try_update(index, seen, home_of(seat_of(self)), flags);
  return PyBool_FromLong(first ? 1 : 0);
}

// The generation is written by the session's home alone, and before the flag that speaks of it. One
// that stopped in between while the session got another home may write it late: so its holder looks
// once more.
bool hold_state(const shm::WorkerSeat& seat, SessionIndex index, SessionWord seen) {
  const shm::SessionTable table(seat.segment());
  const std::uint16_t home = home_of(seat);
  if (seen.home != home && !table.try_update(index, seen, home, seen.flags)) return false;
  std::atomic<std::uint32_t>& generation = seat.segment().session(index).home_generation;
  // Release, both: partner of the acquire in standing_of(), and in clients.
  generation.store(seat.generation(), std::memory_order_release);
  const auto flags = static_cast<std::uint8_t>(seen.flags | layout::kFlagHasState);
  if (!table.try_update(index, seen, home, flags)) return false;
  generation.store(seat.generation(), std::memory_order_release);
  return true;
}

PyObject* hold(PyObject* self, PyObject* arguments) {
  SessionIndex index = 0;
  SessionWord seen;
  if (!parse_step(self, arguments, index, seen)) return nullptr;
  return PyBool_FromLong(hold_state(seat_of(self), index, seen) ? 1 : 0);
}

PyObject* end(PyObject* self, PyObject* arguments) {
  SessionIndex index = 0;
  SessionWord seen;
  if (!parse_step(self, arguments, index, seen)) return nullptr;
  return PyBool_FromLong(table_of(self).try_end(index, seen) ? 1 : 0);
}

PyObject* calls(PyObject* self, PyObject* argument) {
  const unsigned long index = PyLong_AsUnsignedLong(argument);
  if (PyErr_Occurred() != nullptr) return nullptr;
  if (!check_index(self, static_cast<SessionIndex>(index))) return nullptr;
  const layout::CallStats& stats = segment_of(self).session(static_cast<SessionIndex>(index)).stats;
  std::uint64_t ended = 0;
  for (const auto& count : stats.ended) ended += count.load(std::memory_order_relaxed);
  return PyLong_FromUnsignedLongLong(ended);
}

// An ACTIVE record's name, read while it was that incarnation's.
Ref name_of(const shm::SessionTable& table, SessionIndex index, const SessionWord& word) {
  Ref name = str_of(table.name(index));
  const SessionWord now = table.word(index);
  if (now.incarnation != word.incarnation || now.state != word.state) return Ref();
  return name;
}

struct Seen {
  SessionIndex index;
  SessionWord word;
};
std::vector<Seen> all_of(const shm::SessionTable& table) {
  std::vector<Seen> all;
  table.for_each([&all](SessionIndex index, const SessionWord& word) {
    all.push_back({index, word});
  });
  return all;
}

PyObject* due(PyObject* self, PyObject* argument) {
  const double ttl_s = PyFloat_AsDouble(argument);
  if (PyErr_Occurred() != nullptr) return nullptr;
  const shm::SessionTable table = table_of(self);
  const Ref list = Ref::steal(PyList_New(0));
  std::optional<double> next_s;
  for (const auto& [index, word] : all_of(table)) {
    const double left_s = ttl_s - idle_s_of(table.record(index));
    if (left_s > 0) {
      next_s = std::min(next_s.value_or(left_s), left_s);
      continue;
    }
    const Ref name = name_of(table, index, word);
    if (PyErr_Occurred() != nullptr) return nullptr;
    if (!name) continue;
    const Ref item = Ref::steal(Py_BuildValue("(OII)", name.get(), index, word.incarnation));
    if (!item || PyList_Append(list.get(), item.get()) != 0) return nullptr;
  }
  const Ref next = next_s ? Ref::steal(PyFloat_FromDouble(*next_s)) : Ref::share(Py_None);
  return Py_BuildValue("(OO)", list.get(), next.get());
}

PyObject* list_sessions(PyObject* self, PyObject* /*none*/) {
  const shm::SessionTable table = table_of(self);
  Ref list = Ref::steal(PyList_New(0));
  for (const auto& [index, word] : all_of(table)) {
    const Ref name = name_of(table, index, word);
    if (PyErr_Occurred() != nullptr) return nullptr;
    if (!name) continue;
    const layout::SessionRecord& record = table.record(index);
    const std::uint64_t created = record.created_ns.load(std::memory_order_relaxed);
    const Ref item = Ref::steal(
        Py_BuildValue("(Oddi)", name.get(), static_cast<double>(created) * 1e-9, idle_s_of(record),
                      static_cast<int>(standing_of(seat_of(self), index, word))));
    if (!item || PyList_Append(list.get(), item.get()) != 0) return nullptr;
  }
  return list.release();
}

void deallocate(PyObject* self) {
  Py_XDECREF(reinterpret_cast<Table*>(self)->worker);
  free_object(self);
}

PyMethodDef table_methods[] = {
    {"open", open, METH_O, "(index, incarnation) of the session of this name, made if need be."},
    {"find", find, METH_O, "The same; None when there is none."},
    {"look", look, METH_VARARGS, "(word, standing) of the record; None when that session ended."},
    {"declare_lost", declare_lost, METH_VARARGS, "Whether this caller is to tell the loss."},
    {"hold", hold, METH_VARARGS, "Says that this worker has the session's state."},
    {"end", end, METH_VARARGS, "Ends the session, if its record is still this word."},
    {"calls", calls, METH_O, "How many calls of the session have ended."},
    {"due", due, METH_O, "Those unused for so long, and the seconds until the next one is."},
    {"list", list_sessions, METH_NOARGS, "(name, created, idle_s, standing) of each."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot table_slots[] = {
    {Py_tp_doc, const_cast<char*>("The pool's table of sessions.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, table_methods},
    {0, nullptr},
};

}  // namespace

PyType_Spec session_table_spec = {
    .name = "slotring._native.SessionTable",
    .basicsize = sizeof(Table),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = table_slots,
};

Ref new_session_table(PyTypeObject* type, PyObject* worker, const shm::WorkerSeat& seat) {
  Table* table = PyObject_New(Table, type);
  if (table == nullptr) return Ref();
  table->worker = Ref::share(worker).release();
  table->seat = &seat;
  return Ref::steal(as_object(table));
}

}  // namespace slotring::python
