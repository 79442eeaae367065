// What a template process (slotring/template.py) does natively: it forks workers whose parent is
// the supervisor. With the GIL held, as a module's methods.
//
// A worker comes from clone(CLONE_PARENT), which nothing above the system call offers: fork() would
// make it the template's child, whose end the supervisor could not read. What the C library does
// beside its fork is done here: the thread's id where the library keeps it, and the list of robust
// mutexes. What it would also do, lock what other threads may hold and call the handlers of
// pthread_atfork(), is done once, by a real fork() after the imports: it makes libraries end the
// threads that they can start again (OpenBLAS), and later there is no other thread to lock out.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_TEMPLATE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_TEMPLATE_H_

#include "python_side/native/python_ref.h"

namespace slotring::python {

// settle_for_fork(): calls the handlers of fork, once. Raises OSError.
PyObject* settle_for_fork(PyObject* module, PyObject* none);

// refuse_forks(socket_fd, message): tells the supervisor why no worker can be forked.
PyObject* refuse_forks(PyObject* module, PyObject* arguments);

// fork_workers(socket_fd, refusal): forks a worker each time that the supervisor says so, unless
// refusal() returns a text, which the supervisor is told; then, and when the supervisor has closed
// the socket, it returns None. In each worker it returns that worker's arguments, and the socket is
// closed there.
PyObject* fork_workers(PyObject* module, PyObject* arguments);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_TEMPLATE_H_
