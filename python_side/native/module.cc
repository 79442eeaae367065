#include "python_side/native/module.h"

#include "python_side/native/active_call.h"
#include "python_side/native/buffer_view.h"
#include "python_side/native/bytes.h"
#include "python_side/native/channel.h"
#include "python_side/native/context.h"
#include "python_side/native/dlpack.h"
#include "python_side/native/error.h"
#include "python_side/native/session_table.h"
#include "python_side/native/table.h"
#include "python_side/native/template.h"
#include "python_side/native/value.h"
#include "python_side/native/view.h"
#include "python_side/native/worker.h"
#include "slotring/version.h"

namespace slotring::python {

namespace {

ModuleState* state_of(PyObject* module) {
  return static_cast<ModuleState*>(PyModule_GetState(module));
}

PyObject* to_flexbuffers(PyObject* module, PyObject* value) {
  ValueWriter writer;
  const Result<std::span<const std::byte>> bytes = writer.write(value, INT32_MAX);
  if (!bytes) return raise(state_of(module)->failure_type, bytes.error());
  return copy_to_bytes(*bytes).release();
}

PyObject* from_flexbuffers(PyObject* module, PyObject* buffer) {
  const BufferView view(buffer, PyBUF_SIMPLE);
  if (!view.held()) return nullptr;
  Result<Ref> value = read_value(bytes_in(*view));
  if (!value) return raise(state_of(module)->failure_type, value.error());
  return value->release();
}

PyMethodDef module_methods[] = {
    {"to_flexbuffers", to_flexbuffers, METH_O, "A value as FlexBuffers, in bytes."},
    {"from_flexbuffers", from_flexbuffers, METH_O, "The value that a bytes-like object holds."},
    {"dlpack_capsule", dlpack_capsule, METH_O, "A DLPack capsule over an object's buffer."},
    {"settle_for_fork", settle_for_fork, METH_NOARGS, "Calls the handlers of fork, once."},
    {"refuse_forks", refuse_forks, METH_VARARGS, "Tells the supervisor why none can be forked."},
    {"fork_workers", fork_workers, METH_VARARGS, "Forks workers; returns in each of them, too."},
    {nullptr, nullptr, 0, nullptr},
};

bool add_type(PyObject* module, PyType_Spec& spec, PyTypeObject*& into) {
  into = reinterpret_cast<PyTypeObject*>(PyType_FromModuleAndSpec(module, &spec, nullptr));
  return into != nullptr && PyModule_AddType(module, into) == 0;
}

int execute(PyObject* module) {
  ModuleState* state = state_of(module);
  state->failure_type = PyErr_NewExceptionWithDoc(
      "slotring._native.Failure", "Failure(message, code): an operation of Slotring failed.",
      PyExc_RuntimeError, nullptr);
  const bool made = state->failure_type != nullptr &&
                    PyModule_AddObjectRef(module, "Failure", state->failure_type) == 0 &&
                    PyModule_AddStringConstant(module, "VERSION", version()) == 0 &&
                    PyModule_AddIntConstant(module, "MAX_METHODS", layout::kMaxMethods) == 0 &&
                    PyModule_AddIntConstant(module, "MAX_NAME_BYTES", layout::kMaxNameBytes) == 0 &&
                    add_type(module, area_spec, state->area_type) &&
                    add_type(module, context_spec, state->context_type) &&
                    add_type(module, active_call_spec, state->call_type) &&
                    add_type(module, channel_spec, state->channel_type) &&
                    add_type(module, session_table_spec, state->session_table_type) &&
                    add_type(module, table_schema_spec, state->table_schema_type) &&
                    add_type(module, worker_spec, state->worker_type);
  return made ? 0 : -1;
}

void free_module(void* module) {
  ModuleState* state = state_of(static_cast<PyObject*>(module));
  if (state == nullptr) return;
  Py_XDECREF(state->failure_type);
  Py_XDECREF(as_object(state->area_type));
  Py_XDECREF(as_object(state->context_type));
  Py_XDECREF(as_object(state->call_type));
  Py_XDECREF(as_object(state->channel_type));
  Py_XDECREF(as_object(state->session_table_type));
  Py_XDECREF(as_object(state->table_schema_type));
  Py_XDECREF(as_object(state->worker_type));
}

PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(execute)},
    {0, nullptr},
};

PyModuleDef module_definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The native part of Slotring's Python side.",
    .m_size = sizeof(ModuleState),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = nullptr,
    .m_clear = nullptr,
    .m_free = free_module,
};

}  // namespace

PyObject* raise_failure(PyTypeObject* type, const Error& error) {
  return raise(module_of(type).failure_type, error);
}

}  // namespace slotring::python

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&slotring::python::module_definition); }
