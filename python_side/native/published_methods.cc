#include "python_side/native/published_methods.h"

#include "python_side/native/error.h"

namespace slotring::python {

namespace {

// A TableSchema, or None. False with a Python exception.
bool parse_table(PyObject* item, PyTypeObject* type, Ref& into) {
  if (item == Py_None) return true;
  if (PyObject_TypeCheck(item, type) == 0) {
    PyErr_SetString(PyExc_TypeError, "a table is None or a TableSchema");
    return false;
  }
  into = Ref::share(item);
  return true;
}

bool parse_method(PyObject* item, PyTypeObject* table_type, Method& into) {
  PyObject* name = nullptr;
  PyObject* handler = nullptr;
  int wants_context = 0;
  int broadcast_only = 0;
  int takes_calls = 0;
  PyObject* request_table = nullptr;
  PyObject* reply_table = nullptr;
  if (!PyArg_ParseTuple(item, "UOpppOO", &name, &handler, &wants_context, &broadcast_only,
                        &takes_calls, &request_table, &reply_table)) {
    return false;
  }
  into = Method{text_of(name),
                Ref::share(name),
                Ref::share(handler),
                wants_context != 0,
                broadcast_only != 0,
                takes_calls != 0,
                {},
                {}};
  return parse_table(request_table, table_type, into.request_table) &&
         parse_table(reply_table, table_type, into.reply_table);
}

}  // namespace

std::optional<std::vector<Method>> parse_methods(PyObject* list, PyTypeObject* table_type) {
  std::vector<Method> methods;
  for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
    if (!parse_method(PyList_GetItem(list, i), table_type, methods.emplace_back())) {
      return std::nullopt;
    }
  }
  if (PyErr_Occurred() != nullptr) return std::nullopt;
  return methods;
}

}  // namespace slotring::python
