// slotring_harness: a pool without a supervisor, for tests of Python workers. Test-only, never
// installed.
//
// One Pool plays both the supervisor (memories, handshake, Drain) and a C++ client (claims, calls)
// towards real worker processes, which tests/python/worker_pool.py starts.

#include <Python.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client_lib/shm/observed_call.h"
#include "client_lib/shm/peer_socket.h"
#include "python_side/native/buffer_view.h"
#include "python_side/native/bytes.h"
#include "python_side/native/python_ref.h"
#include "tests/python/harness/pool.h"
#include "tests/python/harness/session_methods.h"
#include "tests/python/harness/stream_methods.h"

namespace slotring::testing {
namespace {

using python::BufferView;
using python::bytes_in;
using python::GilRelease;
using python::Ref;

PyObject* new_pool(PyTypeObject* type, PyObject* arguments, PyObject* /*keywords*/) {
  layout::Geometry geometry = small_geometry();
  unsigned long long area_bytes = 0;
  unsigned long long warm_bytes = 0;
  geometry.max_sessions = 16;
  if (!PyArg_ParseTuple(arguments, "IKK|I", &geometry.slots_per_worker, &area_bytes, &warm_bytes,
                        &geometry.max_workers)) {
    return nullptr;
  }
  geometry.area_bytes = area_bytes;
  geometry.warm_bytes = geometry.kept_bytes = warm_bytes;
  Pool* pool = PyObject_New(Pool, type);
  if (pool != nullptr) pool->supervised = new Supervised(geometry);
  return python::as_object(pool);
}

void deallocate(PyObject* self) {
  delete reinterpret_cast<Pool*>(self)->supervised;
  python::free_object(self);
}

// welcome(fd, seat, generation): takes a worker's Hello and answers it.
PyObject* welcome(PyObject* self, PyObject* arguments) {
  int fd = -1;
  unsigned seat = 0;
  unsigned generation = 0;
  if (!PyArg_ParseTuple(arguments, "iII", &fd, &seat, &generation)) return nullptr;
  const LocalPool& pool = of(self).pool;
  std::optional<Result<shm::Packet>> hello;
  {
    const GilRelease released;
    hello = shm::receive_packet(fd, soon(20'000));
  }
  if (!*hello) return raise(self, hello->error());
  if ((*hello)->as<wire::Hello>() == nullptr) return raise(self, Error{.message = "no Hello"});
  pool.set_seat(seat, layout::SeatState::kStarting, generation);
  const wire::PoolGeometry geometry = shm::to_wire(pool.segment().geometry());
  flatbuffers::FlatBufferBuilder builder;
  const auto name = builder.CreateString("local");
  const auto message = wire::CreateWelcome(builder, name, ::getpid(), seat, generation, &geometry);
  const shm::UniqueFd read_only = shm::reopen_read_only(pool.requests().memory()).value();
  const int descriptors[] = {pool.segment().memory().get(), read_only.get(),
                             pool.replies().memory().get()};
  const Status sent =
      shm::send_packet(fd, builder, wire::Message::Welcome, message.Union(), descriptors);
  return sent ? none() : raise(self, sent.error());
}

PyObject* answer_ready(PyObject* self, int fd, unsigned seat, unsigned generation,
                       const wire::Ready& ready) {
  const LocalPool& pool = of(self).pool;
  const Ref names = Ref::steal(PyList_New(0));
  std::vector<std::uint16_t> ids;
  for (const flatbuffers::String* method : *ready.methods()) {
    if (ids.size() >= pool.segment().header().method_count.load()) {
      pool.intern(method->string_view());
    }
    ids.push_back(static_cast<std::uint16_t>(ids.size() + 1));
    const Ref name = Ref::steal(PyUnicode_FromString(method->c_str()));
    PyList_Append(names.get(), name.get());
  }
  flatbuffers::FlatBufferBuilder builder;
  const auto ids_at = builder.CreateVector(ids);
  const auto message = wire::CreatePublished(builder, ids_at);
  const Status sent = shm::send_packet(fd, builder, wire::Message::Published, message.Union());
  if (!sent) return raise(self, sent.error());
  pool.publish(seat, generation);
  return Py_BuildValue("(sOs)", "ready", names.get(), ready.runtime()->c_str());
}

// publish(fd, seat, generation): ("ready", names, runtime) or ("setup_failed", type, message,
// traceback). Ids go by order: a successor must have the same methods.
PyObject* publish(PyObject* self, PyObject* arguments) {
  int fd = -1;
  unsigned seat = 0;
  unsigned generation = 0;
  if (!PyArg_ParseTuple(arguments, "iII", &fd, &seat, &generation)) return nullptr;
  std::optional<Result<shm::Packet>> packet;
  {
    const GilRelease released;
    packet = shm::receive_packet(fd, soon(60'000));
  }
  if (!*packet) return raise(self, packet->error());
  if (const auto* failed = (*packet)->as<wire::SetupFailed>()) {
    return Py_BuildValue("(ssss)", "setup_failed", failed->python_type()->c_str(),
                         failed->message()->c_str(), failed->traceback()->c_str());
  }
  const auto* ready = (*packet)->as<wire::Ready>();
  if (ready == nullptr) return raise(self, Error{.message = "neither Ready nor SetupFailed"});
  return answer_ready(self, fd, seat, generation, *ready);
}

// drain(fd, seat): takes the seat out of the claims and says Drain.
PyObject* drain(PyObject* self, PyObject* arguments) {
  int fd = -1;
  unsigned seat = 0;
  if (!PyArg_ParseTuple(arguments, "iI", &fd, &seat)) return nullptr;
  const LocalPool& pool = of(self).pool;
  pool.set_seat(seat, layout::SeatState::kDraining, pool.segment().seat_word(seat).generation);
  flatbuffers::FlatBufferBuilder builder;
  const auto message = wire::CreateDrain(builder);
  const Status sent = shm::send_packet(fd, builder, wire::Message::Drain, message.Union());
  return sent ? none() : raise(self, sent.error());
}

// receive(fd): the name of the next message's type.
PyObject* receive(PyObject* self, PyObject* fd) {
  const int socket = static_cast<int>(PyLong_AsLong(fd));
  std::optional<Result<shm::Packet>> packet;
  {
    const GilRelease released;
    packet = shm::receive_packet(socket, soon(20'000));
  }
  if (!*packet) return raise(self, packet->error());
  return PyUnicode_FromString(wire::EnumNameMessage((*packet)->type()));
}

Result<Lease> send(Supervised& supervised, const char* method, int kind,
                   std::span<const std::byte> payload, shm::MonotonicNs deadline,
                   const char* table_type = "") {
  Result<Lease> lease = supervised.client->claim(deadline);
  if (!lease) return lease;
  Result<std::span<std::byte>> space = lease->request(payload.size());
  if (!space) return std::move(space).error();
  if (!payload.empty()) std::memcpy(space->data(), payload.data(), payload.size());
  Status sent = lease->submit(method, static_cast<PayloadKind>(kind), payload.size(), table_type);
  if (!sent) return std::move(sent).error();
  return lease;
}

// start(method, kind, payload, timeout_s[, table_type]): sends a call; returns its ticket.
PyObject* start(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  int kind = 0;
  PyObject* payload = nullptr;
  double timeout_s = 0;
  const char* table_type = "";
  if (!PyArg_ParseTuple(arguments, "siOd|s", &method, &kind, &payload, &timeout_s, &table_type)) {
    return nullptr;
  }
  const BufferView bytes(payload, PyBUF_SIMPLE);
  if (!bytes.held()) return nullptr;
  std::optional<Result<Lease>> lease;
  {
    const GilRelease released;
    lease = send(of(self), method, kind, bytes_in(*bytes), deadline_in(timeout_s), table_type);
  }
  if (!*lease) return raise(self, lease->error());
  const long ticket = of(self).next_ticket++;
  of(self).calls.emplace(ticket, **std::move(lease));
  return PyLong_FromLong(ticket);
}

// start_tensors(method, [(dtype, shape, elements, name)], value, timeout_s): the same with tensors.
PyObject* start_tensors(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  PyObject* list = nullptr;
  const char* value = nullptr;
  Py_ssize_t value_bytes = 0;
  double timeout_s = 0;
  if (!PyArg_ParseTuple(arguments, "sOy#d", &method, &list, &value, &value_bytes, &timeout_s)) {
    return nullptr;
  }
  Result<Lease> claimed = of(self).client->claim(deadline_in(timeout_s));
  if (!claimed) return raise(self, claimed.error());
  Lease lease = *std::move(claimed);
  const Status put = lease.put_value(
      {reinterpret_cast<const std::uint8_t*>(value), static_cast<std::size_t>(value_bytes)});
  if (!put) return raise(self, put.error());
  for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
    const char* dtype = nullptr;
    PyObject* extents = nullptr;
    const char* elements = nullptr;
    Py_ssize_t bytes = 0;
    const char* name = nullptr;
    if (!PyArg_ParseTuple(PyList_GetItem(list, i), "sO!y#s", &dtype, &PyTuple_Type, &extents,
                          &elements, &bytes, &name)) {
      return nullptr;
    }
    std::vector<std::uint64_t> shape;
    for (Py_ssize_t d = 0; d < PyTuple_Size(extents); ++d) {
      shape.push_back(PyLong_AsUnsignedLongLong(PyTuple_GetItem(extents, d)));
    }
    const auto tensor =
        lease.empty(dtype_named(dtype).value(), std::span<const std::uint64_t>(shape), name);
    if (!tensor) return raise(self, tensor.error());
    std::memcpy(tensor->data(), elements, static_cast<std::size_t>(bytes));
  }
  if (Status sent = lease.submit(method); !sent) return raise(self, sent.error());
  const long ticket = of(self).next_ticket++;
  of(self).calls.emplace(ticket, std::move(lease));
  return PyLong_FromLong(ticket);
}

// What a reply of tensors shows: (value's bytes, [(dtype, shape, strides, elements in C order,
// name, where in the payload)]).
PyObject* describe_tensors(const ReplyView& reply) {
  const Ref list = Ref::steal(PyList_New(0));
  for (const Tensor& tensor : reply.tensors) {
    const Ref shape = Ref::steal(PyList_New(0));
    const Ref strides = Ref::steal(PyList_New(0));
    for (std::size_t d = 0; d < tensor.dimensions(); ++d) {
      PyList_Append(shape.get(), Ref::steal(PyLong_FromUnsignedLongLong(tensor.shape()[d])).get());
      PyList_Append(strides.get(), Ref::steal(PyLong_FromLongLong(tensor.strides()[d])).get());
    }
    std::vector<std::byte> elements(tensor.bytes());
    copy_elements(tensor, elements.data());
    const Ref described = Ref::steal(
        Py_BuildValue("(sOOy#sL)", std::string(to_string(tensor.dtype())).c_str(), shape.get(),
                      strides.get(), reinterpret_cast<const char*>(elements.data()),
                      static_cast<Py_ssize_t>(elements.size()), std::string(tensor.name()).c_str(),
                      static_cast<long long>(tensor.data() - reply.bytes.data())));
    PyList_Append(list.get(), described.get());
  }
  return Py_BuildValue("(y#O)", reinterpret_cast<const char*>(reply.bytes.data()),
                       static_cast<Py_ssize_t>(reply.value_bytes), list.get());
}

// finish(ticket): waits; returns (kind, bytes), (kind, bytes, table_type), or (kind, what
// describe_tensors() says).
PyObject* finish(PyObject* self, PyObject* ticket) {
  auto node = of(self).calls.extract(PyLong_AsLong(ticket));
  if (node.empty()) return raise(self, Error{.message = "no such ticket"});
  std::optional<Result<ReplyView>> reply;
  {
    const GilRelease released;
    reply = node.mapped().wait();
  }
  if (!*reply) return raise(self, reply->error());
  if ((*reply)->kind == PayloadKind::kTensors) {
    const Ref tensors = Ref::steal(describe_tensors(**reply));
    return Py_BuildValue("(iO)", static_cast<int>((*reply)->kind), tensors.get());
  }
  const std::span<const std::byte> bytes = (*reply)->bytes;
  const std::string type((*reply)->table_type);
  if (!type.empty()) {
    return Py_BuildValue("(iy#s)", static_cast<int>((*reply)->kind),
                         reinterpret_cast<const char*>(bytes.data()),
                         static_cast<Py_ssize_t>(bytes.size()), type.c_str());
  }
  return Py_BuildValue("(iy#)", static_cast<int>((*reply)->kind),
                       reinterpret_cast<const char*>(bytes.data()),
                       static_cast<Py_ssize_t>(bytes.size()));
}

// abandon(ticket): the caller goes away.
PyObject* abandon(PyObject* self, PyObject* ticket) {
  of(self).calls.erase(PyLong_AsLong(ticket));
  return none();
}

// states(): of the worker's slots, e.g. ["running", "free"].
PyObject* states(PyObject* self, PyObject* /*none*/) {
  const LocalPool& pool = of(self).pool;
  Ref list = Ref::steal(PyList_New(0));
  for (shm::SlotIndex slot = 0; slot < pool.segment().geometry().slots_per_worker; ++slot) {
    const Ref name = Ref::steal(PyUnicode_FromString(to_string(pool.state(slot))));
    PyList_Append(list.get(), name.get());
  }
  return list.release();
}

// awaits_caller(): whether a handler waits for its caller: for an item, for room, or for an answer.
PyObject* awaits_caller(PyObject* self, PyObject* /*none*/) {
  const shm::ControlSegment& segment = of(self).pool.segment();
  bool waits = false;
  for (shm::SlotIndex slot = 0; slot < segment.geometry().slots_per_worker; ++slot) {
    const shm::SlotWord word = shm::load_slot(segment.slot_word(slot));
    waits = waits || (word.state == shm::SlotState::kRunning && word.has(layout::kFlagWorkerWaits));
  }
  return PyBool_FromLong(waits ? 1 : 0);
}

// running(): (seconds that the worker's call runs, abandoned, hung), or None.
PyObject* running(PyObject* self, PyObject* /*none*/) {
  const auto call = shm::observe_call(of(self).pool.segment(), 0, shm::monotonic_now());
  if (!call) return none();
  return Py_BuildValue("(dOO)", static_cast<double>(call->run_ns) * 1e-9,
                       call->abandoned ? Py_True : Py_False, call->hung() ? Py_True : Py_False);
}

// record_setting(key, method, kind, payload, retract): as the supervisor does; returns its epoch.
PyObject* record_setting(PyObject* self, PyObject* arguments) {
  const char* key = nullptr;
  const char* method = nullptr;
  int kind = 0;
  PyObject* payload = nullptr;
  int retract = 0;
  if (!PyArg_ParseTuple(arguments, "ssiOp", &key, &method, &kind, &payload, &retract)) {
    return nullptr;
  }
  const BufferView buffer(payload, PyBUF_SIMPLE);
  if (!buffer.held()) return nullptr;
  const std::span<const std::byte> bytes = bytes_in(*buffer);
  Result<std::uint32_t> epoch = of(self).settings.record({.epoch = 0,
                                                          .key = key,
                                                          .method = method,
                                                          .kind = static_cast<std::uint8_t>(kind),
                                                          .retracted = retract != 0,
                                                          .payload = {bytes.begin(), bytes.end()}});
  return epoch ? PyLong_FromUnsignedLong(*epoch) : raise(self, epoch.error());
}

// settings_told(): (epoch, newest that failed), as the worker's seat says.
PyObject* settings_told(PyObject* self, PyObject* /*none*/) {
  const layout::SeatRecord& seat = of(self).pool.segment().seat(0);
  return Py_BuildValue("(II)", seat.settings_epoch.load(), seat.settings_failed.load());
}

// cancel_rings(): how often the worker's cancel_bell was rung.
PyObject* cancel_rings(PyObject* self, PyObject* /*none*/) {
  return PyLong_FromUnsignedLong(of(self).pool.segment().seat(0).cancel_bell.load());
}

// round_trips(method, payload, count): nanoseconds of each call, sorted.
PyObject* round_trips(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  PyObject* payload = nullptr;
  int count = 0;
  if (!PyArg_ParseTuple(arguments, "sOi", &method, &payload, &count)) return nullptr;
  const BufferView buffer(payload, PyBUF_SIMPLE);
  if (!buffer.held()) return nullptr;
  const std::span<const std::byte> bytes = bytes_in(*buffer);
  std::vector<std::uint64_t> elapsed;
  std::optional<Error> error;
  {
    const GilRelease released;
    for (int i = 0; i < count && !error; ++i) {
      const shm::MonotonicNs begin = shm::monotonic_now();
      Result<Lease> lease = send(of(self), method, 1, bytes, shm::kNever);
      Result<ReplyView> reply = lease ? lease->wait() : Result<ReplyView>(lease.error());
      if (!reply) error = reply.error();
      if (lease) lease->release();
      elapsed.push_back(shm::monotonic_now() - begin);
    }
  }
  if (error) return raise(self, *error);
  std::sort(elapsed.begin(), elapsed.end());
  Ref list = Ref::steal(PyList_New(0));
  for (const std::uint64_t ns : elapsed) {
    const Ref number = Ref::steal(PyLong_FromUnsignedLongLong(ns));
    PyList_Append(list.get(), number.get());
  }
  return list.release();
}

PyMethodDef pool_methods[] = {
    {"welcome", welcome, METH_VARARGS, nullptr},
    {"publish", publish, METH_VARARGS, nullptr},
    {"drain", drain, METH_VARARGS, nullptr},
    {"receive", receive, METH_O, nullptr},
    {"start", start, METH_VARARGS, nullptr},
    {"start_tensors", start_tensors, METH_VARARGS, nullptr},
    {"finish", finish, METH_O, nullptr},
    {"abandon", abandon, METH_O, nullptr},
    {"states", states, METH_NOARGS, nullptr},
    {"awaits_caller", awaits_caller, METH_NOARGS, nullptr},
    {"running", running, METH_NOARGS, nullptr},
    {"record_setting", record_setting, METH_VARARGS, nullptr},
    {"settings_told", settings_told, METH_NOARGS, nullptr},
    {"cancel_rings", cancel_rings, METH_NOARGS, nullptr},
    {"start_in_session", start_in_session, METH_VARARGS, nullptr},
    {"finish_in_session", finish_in_session, METH_O, nullptr},
    {"session", session, METH_O, nullptr},
    {"end_session", end_session, METH_O, nullptr},
    {"lose_session", lose_session, METH_O, nullptr},
    {"place_session", place_session, METH_VARARGS, nullptr},
    {"age_session", age_session, METH_VARARGS, nullptr},
    {"start_stream", start_stream, METH_VARARGS, nullptr},
    {"next_item", next_item, METH_O, nullptr},
    {"finish_stream", finish_stream, METH_O, nullptr},
    {"drop_stream", drop_stream, METH_O, nullptr},
    {"write_item", write_item, METH_VARARGS, nullptr},
    {"finish_writing", finish_writing, METH_O, nullptr},
    {"add_tool", add_tool, METH_VARARGS, nullptr},
    {"add_mirror", add_mirror, METH_VARARGS, nullptr},
    {"write_floats", write_floats, METH_VARARGS, nullptr},
    {"nested", nested, METH_VARARGS, nullptr},
    {"service", service, METH_O, nullptr},
    {"round_trips", round_trips, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot pool_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_pool)},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, pool_methods},
    {0, nullptr},
};

PyType_Spec pool_spec = {
    .name = "slotring_harness.Pool",
    .basicsize = sizeof(Pool),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = pool_slots,
};

int execute(PyObject* module) {
  auto** failed = static_cast<PyObject**>(PyModule_GetState(module));
  *failed = PyErr_NewException("slotring_harness.CallFailed", nullptr, nullptr);
  const Ref type = Ref::steal(PyType_FromModuleAndSpec(module, &pool_spec, nullptr));
  const bool made = *failed != nullptr && type &&
                    PyModule_AddObjectRef(module, "CallFailed", *failed) == 0 &&
                    PyModule_AddObjectRef(module, "Pool", type.get()) == 0;
  return made ? 0 : -1;
}

PyModuleDef_Slot module_slots[] = {{Py_mod_exec, reinterpret_cast<void*>(execute)}, {0, nullptr}};

PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "slotring_harness",
    .m_doc = "A pool without a supervisor, for tests.",
    .m_size = sizeof(PyObject*),
    .m_methods = nullptr,
    .m_slots = module_slots,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace
}  // namespace slotring::testing

PyMODINIT_FUNC PyInit_slotring_harness() {
  return PyModuleDef_Init(&slotring::testing::definition);
}
