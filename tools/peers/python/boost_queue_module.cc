// _boost_queue: the serving end of boost_queue.h, whose handler is a Python function. It waits on
// the queue's semaphore with the GIL released, hands the request over as a view of the shared
// memory, and copies what came back there once.

#include <Python.h>

#include <unistd.h>

#include <cstring>
#include <exception>

#include <boost/interprocess/mapped_region.hpp>
#include <boost/interprocess/shared_memory_object.hpp>

#include "tools/peers/boost_queue.h"

namespace slotring::peers {

namespace {

namespace bip = boost::interprocess;

// The GIL, given away for as long as this lives.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() { PyEval_RestoreThread(state_); }

 private:
  PyThreadState* state_;
};

std::uint32_t await_request(const BoostQueue& queue) {
  const WithoutGil waiting;
  return queue.pop();
}

// False with an exception set.
bool copy_reply(const BoostQueue& queue, std::uint32_t client, PyObject* result) {
  Py_buffer reply;
  if (PyObject_GetBuffer(result, &reply, PyBUF_SIMPLE) != 0) return false;
  const auto bytes = static_cast<std::size_t>(reply.len);
  const bool fits = bytes <= queue.payload_bytes();
  if (fits) {
    std::memcpy(queue.reply(client), reply.buf, bytes);
    queue.slot(client).reply_bytes = bytes;
  } else {
    PyErr_SetString(PyExc_ValueError, "the reply does not fit into its slot");
  }
  PyBuffer_Release(&reply);
  return fits;
}

// False with an exception set.
bool answer(const BoostQueue& queue, std::uint32_t client, PyObject* handler) {
  BoostQueue::Slot& slot = queue.slot(client);
  PyObject* request =
      PyMemoryView_FromMemory(reinterpret_cast<char*>(queue.request(client)),
                              static_cast<Py_ssize_t>(slot.request_bytes), PyBUF_READ);
  if (request == nullptr) return false;
  PyObject* result = PyObject_CallFunctionObjArgs(handler, request, nullptr);
  Py_DECREF(request);
  if (result == nullptr) return false;
  const bool answered = copy_reply(queue, client, result);
  Py_DECREF(result);
  if (answered) slot.replied.post();
  return answered;
}

PyObject* serve(PyObject* /*module*/, PyObject* arguments) {
  const char* name = nullptr;
  int ready = -1;
  PyObject* handler = nullptr;
  if (PyArg_ParseTuple(arguments, "siO", &name, &ready, &handler) == 0) return nullptr;
  try {
    const bip::shared_memory_object memory(bip::open_only, name, bip::read_write);
    const bip::mapped_region region(memory, bip::read_write);
    const BoostQueue queue(region.get_address());
    if (::write(ready, "r", 1) != 1) return PyErr_SetFromErrno(PyExc_OSError);
    while (answer(queue, await_request(queue), handler)) {
    }
  } catch (const std::exception& failure) {
    PyErr_SetString(PyExc_OSError, failure.what());
  }
  return nullptr;
}

PyMethodDef methods[] = {
    {"serve", serve, METH_VARARGS,
     "serve(memory, ready, handler)\n\n"
     "Opens the shared memory of that name, writes a byte to the descriptor `ready`, and answers\n"
     "until an exception."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_boost_queue",
    .m_doc = "The serving end of the peer boost-queue of tools/compare.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = nullptr,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = nullptr,
};

}  // namespace

}  // namespace slotring::peers

PyMODINIT_FUNC PyInit__boost_queue() { return PyModule_Create(&slotring::peers::definition); }
