// _bare_exchange: the serving end of a bare exchange, whose handler is a Python function. The least
// that an extension can do for one message: spin, wrap the payload in a memoryview, call, copy what
// came back. The GIL is never released, and no signal handler of Python's runs: a signal whose
// action is the default one ends the process.

#include <Python.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "client_lib/shm/memory.h"
#include "tools/bench/bare_channel.h"
#include "tools/bench/bare_ring.h"

namespace slotring::bench {

namespace {

// What a serving end is given, and the memory that it names.
struct Service {
  shm::Mapping block;
  Py_ssize_t payload_bytes = 0;
  int yields = 0;
  PyObject* callable = nullptr;

  std::size_t bytes() const { return static_cast<std::size_t>(payload_bytes); }
};

// Nothing, with an exception set, where the arguments are not such.
std::optional<Service> begin_service(PyObject* arguments, std::size_t (*size_of)(std::size_t)) {
  Service service;
  int descriptor = -1;
  if (PyArg_ParseTuple(arguments, "inpO", &descriptor, &service.payload_bytes, &service.yields,
                       &service.callable) == 0) {
    return std::nullopt;
  }
  const shm::UniqueFd memory(descriptor);
  Result<shm::Mapping> block =
      shm::Mapping::map(memory, shm::Access::kReadWrite, 0, size_of(service.bytes()));
  if (!block) {
    PyErr_SetString(PyExc_OSError, block.error().message.c_str());
    return std::nullopt;
  }
  service.block = *std::move(block);
  return service;
}

// Copies what `handler` returns for the request into the reply. All references are gone when this
// returns: the client may overwrite its request once it has the reply. False with an exception set.
bool answer(PyObject* handler, const Channels& channels, Py_ssize_t payload_bytes) {
  PyObject* request = PyMemoryView_FromMemory(reinterpret_cast<char*>(channels.requests.payload),
                                              payload_bytes, PyBUF_READ);
  if (request == nullptr) return false;
  PyObject* result = PyObject_CallFunctionObjArgs(handler, request, nullptr);
  Py_DECREF(request);
  if (result == nullptr) return false;
  Py_buffer reply;
  bool answered = false;
  if (PyObject_GetBuffer(result, &reply, PyBUF_SIMPLE) == 0) {
    answered = reply.len == payload_bytes;
    if (answered) {
      std::memcpy(channels.replies.payload, reply.buf, static_cast<std::size_t>(reply.len));
    } else {
      PyErr_SetString(PyExc_ValueError, "the reply is not as long as the request");
    }
    PyBuffer_Release(&reply);
  }
  Py_DECREF(result);
  return answered;
}

PyObject* serve(PyObject* /*module*/, PyObject* arguments) {
  const std::optional<Service> service = begin_service(arguments, block_bytes);
  if (!service) return nullptr;
  const Channels channels = channels_in(service->block.data(), service->bytes());
  // Release: partner of the acquire in BarePythonTransport::begin_turn().
  channels.replies.flag->sequence.store(0, std::memory_order_release);
  for (std::uint64_t sequence = 1;; ++sequence) {
    await(*channels.requests.flag, sequence, service->yields != 0);
    if (!answer(service->callable, channels, service->payload_bytes)) return nullptr;
    // Release: partner of the acquire in await().
    channels.replies.flag->sequence.store(sequence, std::memory_order_release);
  }
}

// Puts all frames of one stream into the ring. False with an exception set.
bool stream_frames(PyObject* frames, const BareRing& ring, std::uint64_t& number,
                   Py_ssize_t frame_bytes) {
  PyObject* iterator = PyObject_GetIter(frames);
  if (iterator == nullptr) return false;
  while (PyObject* item = PyIter_Next(iterator)) {
    Py_buffer frame;
    if (PyObject_GetBuffer(item, &frame, PyBUF_SIMPLE) == 0) {
      if (frame.len == frame_bytes) {
        ring.produce(number++, {static_cast<const std::byte*>(frame.buf),
                                static_cast<std::size_t>(frame.len)});
      } else {
        PyErr_SetString(PyExc_ValueError, "a frame is of another size");
      }
      PyBuffer_Release(&frame);
    }
    Py_DECREF(item);
    if (PyErr_Occurred() != nullptr) break;
  }
  Py_DECREF(iterator);
  return PyErr_Occurred() == nullptr;
}

PyObject* serve_streams(PyObject* /*module*/, PyObject* arguments) {
  const std::optional<Service> service = begin_service(arguments, BareRing::block_bytes);
  if (!service) return nullptr;
  const BareRing ring(service->block.data(), service->bytes(), service->yields != 0);
  // Release: partner of the acquire in BarePythonTransport::begin_turn().
  ring.requested().sequence.store(0, std::memory_order_release);
  std::uint64_t number = 0;
  for (std::uint64_t stream = 1;; ++stream) {
    ring.await_request(stream);
    PyObject* frames = PyObject_CallFunctionObjArgs(service->callable, nullptr);
    if (frames == nullptr) return nullptr;
    const bool streamed = stream_frames(frames, ring, number, service->payload_bytes);
    Py_DECREF(frames);
    if (!streamed) return nullptr;
  }
}

PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS,
     "serve(descriptor, payload_bytes, yields, handler)\n\n"
     "Takes over the descriptor of the shared memory and answers until an exception."},
    {"serve_streams", serve_streams, METH_VARARGS,
     "serve_streams(descriptor, frame_bytes, yields, generator)\n\n"
     "The same for streams: what generator() yields, for each request."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_bare_exchange",
    .m_doc = "The serving end of the bare-python variant of `slotring bench`.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

}  // namespace slotring::bench

PyMODINIT_FUNC PyInit__bare_exchange() {
  PyObject* module = PyModule_Create(&slotring::bench::definition);
  if (module == nullptr) return nullptr;
  if (PyModule_AddIntConstant(module, "STREAM_FRAMES", slotring::bench::kStreamFrames) != 0) {
    Py_DECREF(module);
    return nullptr;
  }
  return module;
}
