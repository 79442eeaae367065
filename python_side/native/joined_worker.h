// What a slotring._native.Worker owns.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_JOINED_WORKER_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_JOINED_WORKER_H_

#include <memory>

#include "client_lib/shm/supervisor_link.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/server.h"

namespace slotring::python {

struct Joined {
  std::unique_ptr<shm::SupervisorLink> link;
  Server server;
};

struct Worker {
  PyObject_HEAD Joined* joined;
};

inline Joined& joined_of(PyObject* self) { return *reinterpret_cast<Worker*>(self)->joined; }

// Its properties; ends with an empty one.
extern PyGetSetDef worker_properties[];

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_JOINED_WORKER_H_
