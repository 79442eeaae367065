#include "python_side/native/seconds.h"

#include <cstdint>
#include <optional>

namespace slotring::python {

namespace {

constexpr double kLongest = 366.0 * 86400;

// False with a Python exception. Nothing: no bound.
bool parse(PyObject* seconds, std::optional<std::uint64_t>& into) {
  into.reset();
  if (seconds == Py_None) return true;
  const double count = PyFloat_AsDouble(seconds);
  if (PyErr_Occurred() != nullptr) return false;
  if (!(count >= 0)) {  // NaN neither
    PyErr_SetString(PyExc_ValueError, "a time is a number of seconds, not below 0, or None");
    return false;
  }
  if (count < kLongest) into = static_cast<std::uint64_t>(count * 1e9);
  return true;
}

}  // namespace

int parse_duration(PyObject* seconds, void* into) {
  std::optional<std::uint64_t> duration_ns;
  if (!parse(seconds, duration_ns)) return 0;
  *static_cast<std::uint64_t*>(into) = duration_ns.value_or(shm::kNever);
  return 1;
}

int parse_deadline(PyObject* seconds, void* into) {
  std::optional<std::uint64_t> duration_ns;
  if (!parse(seconds, duration_ns)) return 0;
  *static_cast<shm::MonotonicNs*>(into) =
      duration_ns ? shm::monotonic_now() + *duration_ns : shm::kNever;
  return 1;
}

PyObject* seconds_until(shm::MonotonicNs at) {
  const shm::MonotonicNs now = shm::monotonic_now();
  return PyFloat_FromDouble(now < at ? static_cast<double>(at - now) * 1e-9 : 0.0);
}

}  // namespace slotring::python
