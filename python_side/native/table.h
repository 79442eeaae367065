// Users' FlatBuffers tables: slotring._native.TableSchema, and what a handler that declares one
// gets and gives back. With the GIL held.
//
// Guarantee: what a handler gets is private memory, verified by its schema: its accessors read
// nothing outside it, whatever the client wrote, or writes meanwhile.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_TABLE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_TABLE_H_

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/reply.h"

namespace slotring::python {

// TableSchema(binary_schema, root, opener): `root` names the tables' type, None for the schema's
// own; opener(view, 0), or None, makes of a view what a handler gets.
extern PyType_Spec table_schema_spec;

// What a handler gets whose requests are tables of `schema`, a TableSchema. Errors: TABLE_INVALID,
// with the type that was expected and what came; OUT_OF_MEMORY; those of opener().
Result<Ref> open_table(PyObject* schema, const shm::RunningCall& call, PyObject* describe);
// Of a table whose handler takes none.
Error unexpected_table(const shm::RunningCall& call, std::string_view method);
// Of a method with tables that is called by `what`, which carries none.
Error no_tables_here(std::string_view method, std::string_view what);

// Writes a finished buffer, which the handler returned, as a table of `schema`, which must outlive
// what is returned. Errors: REPLY_NOT_CONVERTIBLE, with the reason; those of sink.space().
Result<WrittenReply> write_table(PayloadSink& sink, PyObject* schema, PyObject* reply);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_TABLE_H_
