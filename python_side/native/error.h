// Python exceptions as slotring errors, and the reverse. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_ERROR_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_ERROR_H_

#include <optional>
#include <string>

#include "python_side/native/python_ref.h"
#include "slotring/error.h"

namespace slotring::python {

// Takes the current Python exception, normalized and with its traceback. REQUIRES: one is set.
Ref fetch_exception();

// Takes the current Python exception as an error of `code`, with its type and text but no
// traceback. REQUIRES: an exception is set.
Error take_exception(ErrorCode code);

// Takes the exception that a handler raised. `describe` is slotring.errors.describe: it knows
// CallError and formats tracebacks; where it fails itself, the error has just the exception's type
// and text. REQUIRES: an exception is set.
Error take_handler_exception(PyObject* describe);

// The error of an exception that a handler returned instead of raising it; nothing where `result`
// is no exception. As take_handler_exception().
std::optional<Error> returned_exception(PyObject* result, PyObject* describe);

// Sets `failure_type(message, code)` as the current exception. Returns null, for `return
// raise(...)`.
PyObject* raise(PyObject* failure_type, const Error& error);

// Sets the slotring.CallError of this error as the current exception, unless there is one already.
// Returns null, for `return raise_call_error(...)`.
PyObject* raise_call_error(const Error& error);

// str(object), or what can be had of it. Never raises.
std::string text_of(PyObject* object);
// The name of an object's type, qualified for classes inside others. Never raises.
std::string type_name_of(PyObject* object);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_ERROR_H_
