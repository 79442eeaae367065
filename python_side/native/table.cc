#include "python_side/native/table.h"

#include <cstring>
#include <string>
#include <utility>

#include "client_lib/shm/table_schema.h"
#include "python_side/native/buffer_view.h"
#include "python_side/native/bytes.h"
#include "python_side/native/error.h"
#include "python_side/native/module.h"

namespace slotring::python {

namespace {

struct Schema {
  PyObject_HEAD shm::TableSchema* tables;
  PyObject* opener;  // null for none
};

Schema* as_schema(PyObject* self) { return reinterpret_cast<Schema*>(self); }
const shm::TableSchema& tables_of(PyObject* self) { return *as_schema(self)->tables; }

PyObject* new_schema(PyTypeObject* type, PyObject* arguments, PyObject* /*keywords*/) {
  PyObject* binary_schema = nullptr;
  const char* root = nullptr;
  PyObject* opener = nullptr;
  if (!PyArg_ParseTuple(arguments, "OzO", &binary_schema, &root, &opener)) return nullptr;
  const BufferView buffer(binary_schema, PyBUF_SIMPLE);
  if (!buffer.held()) return nullptr;
  Result<shm::TableSchema> tables =
      shm::TableSchema::load(bytes_in(*buffer), root == nullptr ? "" : root);
  if (!tables) return raise_failure(type, tables.error());
  auto* made = PyObject_New(Schema, type);
  if (made == nullptr) return nullptr;
  made->tables = new shm::TableSchema(*std::move(tables));
  made->opener = opener == Py_None ? nullptr : Ref::share(opener).release();
  return as_object(made);
}

void deallocate(PyObject* self) {
  delete as_schema(self)->tables;
  Py_XDECREF(as_schema(self)->opener);
  free_object(self);
}

PyObject* get_root(PyObject* self, void* /*closure*/) {
  return str_of(tables_of(self).root()).release();
}

PyObject* verify(PyObject* self, PyObject* table) {
  const BufferView buffer(table, PyBUF_SIMPLE);
  if (!buffer.held()) return nullptr;
  const Status verdict = tables_of(self).verify(bytes_in(*buffer));
  return verdict ? none() : raise_failure(self, verdict.error());
}

PyMethodDef schema_methods[] = {
    {"verify", verify, METH_O, "Raises Failure where a buffer is no table of this schema."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef schema_getset[] = {
    {"root", get_root, nullptr, "The fully qualified name of the tables' type.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot schema_slots[] = {
    {Py_tp_doc, const_cast<char*>("TableSchema(binary_schema, root, opener): a table's type.")},
    {Py_tp_new, reinterpret_cast<void*>(new_schema)},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, schema_methods},
    {Py_tp_getset, schema_getset},
    {0, nullptr},
};

std::string_view type_of(const shm::RunningCall& call) {
  return call.rare != nullptr && call.rare->table_type() != nullptr
             ? call.rare->table_type()->string_view()
             : std::string_view();
}

// As far as it is a name.
std::string readable_type_of(const shm::RunningCall& call) {
  constexpr std::size_t kMostBytes = 128;
  std::string name(type_of(call).substr(0, kMostBytes));
  for (char& c : name) {
    if (c <= ' ' || c > '~') c = '?';
  }
  return name;
}

std::string kind_of(const shm::RunningCall& call) {
  switch (call.head.kind) {
    case wire::PayloadKind::Empty:
      return "nothing";
    case wire::PayloadKind::Bytes:
      return "raw bytes";
    case wire::PayloadKind::Value:
      return "a value";
    case wire::PayloadKind::Tensors:
      return "tensors";
    default:
      return "a table of type '" + readable_type_of(call) + "'";
  }
}

Error not_a_table(const std::string& type, PyObject* reply) {
  return Error{ErrorCode::kReplyNotConvertible,
               "the handler replies with tables of type '" + type + "', and returned a " +
                   type_name_of(reply) + "; a finished buffer can be sent, as of builder.Output()"};
}

}  // namespace

PyType_Spec table_schema_spec = {
    .name = "slotring._native.TableSchema",
    .basicsize = sizeof(Schema),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = schema_slots,
};

Result<Ref> open_table(PyObject* schema, const shm::RunningCall& call, PyObject* describe) {
  const shm::TableSchema& tables = tables_of(schema);
  if (call.head.kind != wire::PayloadKind::Table || type_of(call) != tables.root()) {
    return Error{ErrorCode::kTableInvalid, "the method takes a table of type '" + tables.root() +
                                               "', and the request is " + kind_of(call)};
  }
  // Its writer could change it while, and after, it is verified.
  const Ref copy = copy_to_bytes(call.payload);
  if (!copy) return take_exception(ErrorCode::kInternal);
  if (Status verdict = tables.verify(bytes_in(copy.get())); !verdict) {
    return std::move(verdict).error();
  }
  Ref view = Ref::steal(PyMemoryView_FromObject(copy.get()));
  if (!view) return take_exception(ErrorCode::kInternal);
  PyObject* opener = as_schema(schema)->opener;
  if (opener == nullptr) return view;
  Ref opened = Ref::steal(PyObject_CallFunction(opener, "Oi", view.get(), 0));
  if (!opened) return take_handler_exception(describe);
  return opened;
}

Error unexpected_table(const shm::RunningCall& call, std::string_view method) {
  return Error{ErrorCode::kInvalidArgument,
               "the method '" + std::string(method) + "' takes no tables, and the request is " +
                   kind_of(call) +
                   "; its handler says which it takes by @slotring.handler(request=...)"};
}

Error no_tables_here(std::string_view method, std::string_view what) {
  return Error{ErrorCode::kTableInvalid, "the method '" + std::string(method) +
                                             "' takes or gives tables, which " + std::string(what) +
                                             " cannot carry"};
}

Result<WrittenReply> write_table(PayloadSink& sink, PyObject* schema, PyObject* reply) {
  const shm::TableSchema& tables = tables_of(schema);
  if (PyObject_CheckBuffer(reply) == 0) return not_a_table(tables.root(), reply);
  const BufferView buffer(reply, PyBUF_SIMPLE);
  if (!buffer.held()) {
    PyErr_Clear();
    return not_a_table(tables.root(), reply);
  }
  if (Status verdict = tables.verify(bytes_in(*buffer)); !verdict) {
    return Error{ErrorCode::kReplyNotConvertible,
                 "what the handler returned cannot be sent: " + verdict.error().message};
  }
  Result<std::span<std::byte>> space =
      sink.space(static_cast<std::uint64_t>(buffer->len), /*with_rare_part=*/true);
  if (!space) return std::move(space).error();
  std::memcpy(space->data(), buffer->buf, static_cast<std::size_t>(buffer->len));
  WrittenReply written{wire::PayloadKind::Table, static_cast<std::uint64_t>(buffer->len)};
  written.table_type = tables.root();
  return written;
}

}  // namespace slotring::python
