// slotring._native.Worker: the Python handle of a worker's seat, its server and its talk with the
// supervisor.
//
//     worker = Worker(socket_fd, seat_socket_fd, name, timeout_s)  # joins the pool: Hello, Welcome
//     ... set up ...
//     worker.publish(methods, runtime, timeout_s)        # Ready, Published
//     worker.prepare(describe, no_such_method, sessions)
//     worker.serve()                                     # until drained or stopped
//     worker.goodbye()
//
// serve() belongs to one thread, watch() to another, and pulse(cancel), which runs until
// end_pulse(), to a third; drain() and stop() may be called by any meanwhile.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_WORKER_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_WORKER_H_

#include "python_side/native/python_ref.h"

namespace slotring::python {

extern PyType_Spec worker_spec;

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_WORKER_H_
