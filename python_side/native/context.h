// What a handler that asks for it gets beside its request: slotring.Context. With the GIL held.
//
// A context may outlive its call; it then tells what it knew and that the call is over.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_CONTEXT_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_CONTEXT_H_

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/reply_arrays.h"

namespace slotring::python {

// What is known of the call beside its frame. Borrowed.
struct CallFacts {
  PyObject* method;                   // its name, a str
  PyObject* session = Py_None;        // a slotring.Session
  PyObject* broadcast_key = Py_None;  // of the broadcast that makes the call, a str
  PyObject* handler = nullptr;        // lives until end_context()
  PyObject* channel = nullptr;        // null: its caller attends to nothing
};

// A context of a running call; null with a Python exception. `seat` and `call` must live until
// end_context().
Ref new_context(PyTypeObject* context_type, const shm::WorkerSeat& seat,
                const shm::RunningCall& call, const CallFacts& facts);
void end_context(PyObject* context);
// Lets it make arrays in the call's reply. `arrays` must live until end_context().
void give_arrays(PyObject* context, ReplyArrays& arrays);

extern PyType_Spec context_spec;

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_CONTEXT_H_
