#include "python_side/native/error.h"

namespace slotring::python {

namespace {

std::string utf8_of(PyObject* text) {
  Py_ssize_t bytes = 0;
  const char* utf8 = PyUnicode_AsUTF8AndSize(text, &bytes);
  if (utf8 != nullptr) return std::string(utf8, static_cast<std::size_t>(bytes));
  // A lone surrogate. Escaped, it can travel.
  PyErr_Clear();
  const Ref escaped = Ref::steal(PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace"));
  char* data = nullptr;
  if (!escaped || PyBytes_AsStringAndSize(escaped.get(), &data, &bytes) != 0) {
    PyErr_Clear();
    return "?";
  }
  return std::string(data, static_cast<std::size_t>(bytes));
}

// The (code, retryable, message, python_type, traceback) that slotring.errors.describe returns.
bool parse_description(PyObject* description, Error& into) {
  int code = 0;
  int retryable = 0;
  const char* message = nullptr;
  const char* python_type = nullptr;
  const char* traceback = nullptr;
  if (!PyArg_ParseTuple(description, "ipsss", &code, &retryable, &message, &python_type,
                        &traceback)) {
    return false;
  }
  into = Error{static_cast<ErrorCode>(code), message, python_type, traceback, retryable != 0};
  return true;
}

Error describe_exception(PyObject* exception, PyObject* describe) {
  const Ref description = Ref::steal(PyObject_CallFunctionObjArgs(describe, exception, nullptr));
  Error error;
  if (description && parse_description(description.get(), error)) return error;
  PyErr_Clear();
  return Error{.code = ErrorCode::kHandlerRaised,
               .message = text_of(exception),
               .python_type = type_name_of(exception)};
}

}  // namespace

Ref fetch_exception() {
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  Ref held_type = Ref::steal(type);
  Ref held_traceback = Ref::steal(traceback);
  if (value != nullptr && traceback != nullptr) PyException_SetTraceback(value, traceback);
  return Ref::steal(value);
}

std::string text_of(PyObject* object) {
  const Ref text = Ref::steal(PyObject_Str(object));
  if (text) return utf8_of(text.get());
  PyErr_Clear();
  return "(its text cannot be had)";
}

std::string type_name_of(PyObject* object) {
  const Ref name = Ref::steal(PyType_GetQualName(Py_TYPE(object)));
  if (name) return utf8_of(name.get());
  PyErr_Clear();
  return "?";
}

Error take_exception(ErrorCode code) {
  const Ref exception = fetch_exception();
  if (PyErr_GivenExceptionMatches(exception.get(), PyExc_MemoryError) != 0) {
    code = ErrorCode::kOutOfMemory;
  }
  return Error{.code = code,
               .message = text_of(exception.get()),
               .python_type = type_name_of(exception.get())};
}

Error take_handler_exception(PyObject* describe) {
  const Ref exception = fetch_exception();
  return describe_exception(exception.get(), describe);
}

std::optional<Error> returned_exception(PyObject* result, PyObject* describe) {
  if (PyExceptionInstance_Check(result) == 0) return std::nullopt;
  return describe_exception(result, describe);
}

PyObject* raise(PyObject* failure_type, const Error& error) {
  const Ref exception = Ref::steal(PyObject_CallFunction(failure_type, "si", error.message.c_str(),
                                                         static_cast<int>(error.code)));
  if (exception) PyErr_SetObject(failure_type, exception.get());
  return nullptr;
}

PyObject* raise_call_error(const Error& error) {
  if (PyErr_Occurred() != nullptr) return nullptr;
  const Ref errors = Ref::steal(PyImport_ImportModule("slotring.errors"));
  const Ref exception = errors
                            ? Ref::steal(PyObject_CallMethod(
                                  errors.get(), "received", "iOOOO", static_cast<int>(error.code),
                                  error.retryable ? Py_True : Py_False, str_of(error.message).get(),
                                  str_of(error.python_type).get(), str_of(error.traceback).get()))
                            : Ref();
  if (exception) PyErr_SetObject(as_object(Py_TYPE(exception.get())), exception.get());
  return nullptr;
}

}  // namespace slotring::python
