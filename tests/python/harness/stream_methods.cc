#include "tests/python/harness/stream_methods.h"

#include <array>
#include <string>
#include <utility>

#include "client_lib/stream_call.h"
#include "client_lib/tool_desk.h"
#include "python_side/native/buffer_view.h"
#include "python_side/native/bytes.h"
#include "python_side/native/error.h"
#include "tests/python/harness/pool.h"

namespace slotring::testing {

namespace {

using internal::StreamCall;
using python::BufferView;
using python::bytes_in;
using python::GilRelease;
using python::Ref;

PyObject* pair_of(PayloadKind kind, std::span<const std::byte> bytes) {
  // Python takes a null pointer for None.
  const char* data = bytes.empty() ? "" : reinterpret_cast<const char*>(bytes.data());
  return Py_BuildValue("(iy#)", static_cast<int>(kind), data,
                       static_cast<Py_ssize_t>(bytes.size()));
}

Payload payload_of(int kind, std::span<const std::byte> bytes) {
  switch (static_cast<PayloadKind>(kind)) {
    case PayloadKind::kEmpty:
      return Payload();
    case PayloadKind::kValue:
      return Payload::value({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
    default:
      return Payload(bytes);
  }
}

// Null with a Python exception.
StreamCall* stream_of(PyObject* self, long ticket) {
  const auto found = of(self).streams.find(ticket);
  if (found != of(self).streams.end()) return found->second.get();
  raise(self, Error{.message = "no such ticket"});
  return nullptr;
}

template <class Operation>
auto without_gil(Operation operation) {
  const GilRelease released;
  return operation();
}

PyObject* outcome(PyObject* self, const Status& status) {
  return status ? none() : raise(self, status.error());
}

// What a Python callable answers a tool's call with. Without the GIL.
Result<ToolReply> run_tool(PyObject* tool, const ToolCall& call) {
  const PyGILState_STATE gil = PyGILState_Ensure();
  Result<ToolReply> reply = [&]() -> Result<ToolReply> {
    const Ref argument = Ref::steal(pair_of(call.kind(), call.bytes()));
    const Ref answer = Ref::steal(PyObject_CallObject(tool, argument.get()));
    int kind = 0;
    const char* bytes = nullptr;
    Py_ssize_t size = 0;
    if (!answer || !PyArg_ParseTuple(answer.get(), "iy#", &kind, &bytes, &size)) {
      return python::take_exception(ErrorCode::kHandlerRaised);
    }
    return ToolReply(payload_of(kind, std::as_bytes(std::span(bytes, size))));
  }();
  PyGILState_Release(gil);
  return reply;
}

}  // namespace

PyObject* start_stream(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  int kind = 0;
  PyObject* payload = nullptr;
  double timeout_s = 0;
  unsigned long long window_bytes = 0;
  if (!PyArg_ParseTuple(arguments, "siOdK", &method, &kind, &payload, &timeout_s, &window_bytes)) {
    return nullptr;
  }
  const BufferView bytes(payload, PyBUF_SIMPLE);
  if (!bytes.held()) return nullptr;
  Supervised& supervised = of(self);
  auto stream = without_gil([&]() -> Result<std::unique_ptr<StreamCall>> {
    internal::ClientCore& core = *supervised.client;
    Result<Lease> lease = core.claim(deadline_in(timeout_s));
    if (!lease) return std::move(lease).error();
    const auto flags = static_cast<std::uint8_t>(wire::FrameFlags::ReadsStream) |
                       static_cast<std::uint8_t>(wire::FrameFlags::WritesStream);
    core.attend_to_stream(*lease, static_cast<std::uint8_t>(flags), window_bytes);
    if (Status sent = internal::send_request(*lease, method, payload_of(kind, bytes_in(*bytes)));
        !sent) {
      return std::move(sent).error();
    }
    return std::make_unique<StreamCall>(core, *std::move(lease), /*writes=*/true);
  });
  if (!stream) return raise(self, stream.error());
  const long ticket = supervised.next_ticket++;
  supervised.streams.emplace(ticket, *std::move(stream));
  return PyLong_FromLong(ticket);
}

PyObject* next_item(PyObject* self, PyObject* ticket) {
  StreamCall* stream = stream_of(self, PyLong_AsLong(ticket));
  if (stream == nullptr) return nullptr;
  const auto item = without_gil([&] { return stream->next(); });
  if (!item) return raise(self, item.error());
  return *item ? pair_of((*item)->kind, (*item)->bytes) : none();
}

PyObject* finish_stream(PyObject* self, PyObject* ticket) {
  StreamCall* stream = stream_of(self, PyLong_AsLong(ticket));
  if (stream == nullptr) return nullptr;
  const auto reply = without_gil([&] { return stream->finish(); });
  const Ref pair = Ref::steal(reply ? pair_of(reply->second.kind, reply->second.bytes)
                                    : raise(self, reply.error()));
  of(self).streams.erase(PyLong_AsLong(ticket));
  return Ref(pair).release();
}

PyObject* drop_stream(PyObject* self, PyObject* ticket) {
  of(self).streams.erase(PyLong_AsLong(ticket));
  return none();
}

PyObject* write_item(PyObject* self, PyObject* arguments) {
  long ticket = 0;
  int kind = 0;
  PyObject* payload = nullptr;
  if (!PyArg_ParseTuple(arguments, "liO", &ticket, &kind, &payload)) return nullptr;
  StreamCall* stream = stream_of(self, ticket);
  const BufferView bytes(payload, PyBUF_SIMPLE);
  if (stream == nullptr || !bytes.held()) return nullptr;
  return outcome(self,
                 without_gil([&] { return stream->write(payload_of(kind, bytes_in(*bytes))); }));
}

PyObject* finish_writing(PyObject* self, PyObject* ticket) {
  StreamCall* stream = stream_of(self, PyLong_AsLong(ticket));
  if (stream == nullptr) return nullptr;
  return outcome(self, without_gil([&] { return stream->finish_writing(); }));
}

PyObject* add_tool(PyObject* self, PyObject* arguments) {
  const char* name = nullptr;
  PyObject* tool = nullptr;
  if (!PyArg_ParseTuple(arguments, "sO", &name, &tool)) return nullptr;
  // As long as the process, like the interpreter that it is of.
  PyObject* held = Ref::share(tool).release();
  return outcome(self, of(self).client->add_tool(
                           name, [held](const ToolCall& call) { return run_tool(held, call); }));
}

PyObject* add_mirror(PyObject* self, PyObject* arguments) {
  const char* name = nullptr;
  const char* method = nullptr;
  if (!PyArg_ParseTuple(arguments, "ss", &name, &method)) return nullptr;
  internal::ClientCore* core = of(self).client.get();
  const auto mirror = [core,
                       method = std::string(method)](const ToolCall& call) -> Result<ToolReply> {
    const OwnedPayload argument(call.view());
    if (method.empty()) return ToolReply(argument);
    const Result<OwnedPayload> reply =
        internal::ToolDesk::serving_here(*core)->call_nested(method, argument, shm::kNever, {});
    return reply ? Result<ToolReply>(ToolReply(*reply)) : reply.error();
  };
  return outcome(self, core->add_tool(name, mirror));
}

PyObject* write_floats(PyObject* self, PyObject* arguments) {
  long ticket = 0;
  PyObject* buffer = nullptr;
  unsigned long long columns = 0;
  if (!PyArg_ParseTuple(arguments, "lOK", &ticket, &buffer, &columns)) return nullptr;
  StreamCall* stream = stream_of(self, ticket);
  const BufferView bytes(buffer, PyBUF_SIMPLE);
  if (stream == nullptr || !bytes.held()) return nullptr;
  const std::uint64_t rows = bytes_in(*bytes).size() / sizeof(float) / columns;
  const std::array strides{std::int64_t{sizeof(float)},
                           static_cast<std::int64_t>(columns * sizeof(float))};
  const Tensor transposed(DType::kFloat32, bytes_in(*bytes).data(), Shape(columns, rows), strides);
  return outcome(self, without_gil([&] { return stream->write(transposed); }));
}

PyObject* nested(PyObject* self, PyObject* arguments) {
  const char* method = nullptr;
  int kind = 0;
  PyObject* payload = nullptr;
  double timeout_s = 0;
  if (!PyArg_ParseTuple(arguments, "siOd", &method, &kind, &payload, &timeout_s)) return nullptr;
  const BufferView bytes(payload, PyBUF_SIMPLE);
  if (!bytes.held()) return nullptr;
  internal::ToolDesk* desk = internal::ToolDesk::serving_here(*of(self).client);
  if (desk == nullptr) return raise(self, Error{.message = "no tool runs on this thread"});
  const Result<OwnedPayload> reply = without_gil([&] {
    return desk->call_nested(method, payload_of(kind, bytes_in(*bytes)), deadline_in(timeout_s),
                             {});
  });
  return reply ? pair_of(reply->kind(), reply->data()) : raise(self, reply.error());
}

}  // namespace slotring::testing
