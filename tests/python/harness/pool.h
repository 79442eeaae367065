// slotring_harness.Pool: what it holds, and what its methods begin and end with. Test-only.

#ifndef SLOTRING_TESTS_PYTHON_HARNESS_POOL_H_
#define SLOTRING_TESTS_PYTHON_HARNESS_POOL_H_

#include <Python.h>

#include <map>
#include <memory>
#include <string>

#include "client_lib/client_core.h"
#include "client_lib/stream_call.h"
#include "python_side/native/python_ref.h"
#include "supervisor/settings.h"
#include "tests/python/harness/session_calls.h"
#include "tests/support/local_pool.h"

namespace slotring::testing {

struct Supervised {
  explicit Supervised(const layout::Geometry& geometry)
      : pool(geometry), client(pool.client()), session_calls(pool) {}

  LocalPool pool;
  supervisor::Settings settings{pool.segment()};
  std::unique_ptr<internal::ClientCore> client;
  SessionCalls session_calls;
  std::map<long, Lease> calls;
  std::map<long, std::unique_ptr<internal::StreamCall>> streams;
  long next_ticket = 1;
};

struct Pool {
  PyObject_HEAD Supervised* supervised;
};

inline Supervised& of(PyObject* self) { return *reinterpret_cast<Pool*>(self)->supervised; }

using python::none;

// Raises slotring_harness.CallFailed(code, message, python_type, traceback, retryable).
inline PyObject* raise(PyObject* self, const Error& error) {
  auto* failed = static_cast<PyObject**>(PyType_GetModuleState(Py_TYPE(self)));
  const std::string code(to_string(error.code));
  const python::Ref arguments = python::Ref::steal(
      Py_BuildValue("(ssssO)", code.c_str(), error.message.c_str(), error.python_type.c_str(),
                    error.traceback.c_str(), error.retryable ? Py_True : Py_False));
  if (arguments) PyErr_SetObject(*failed, arguments.get());
  return nullptr;
}

inline shm::MonotonicNs deadline_in(double seconds) {
  return shm::monotonic_now() + static_cast<std::uint64_t>(seconds * 1e9);
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_PYTHON_HARNESS_POOL_H_
