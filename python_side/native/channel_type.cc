// The Python type of a Channel.

#include <new>

#include "python_side/native/channel.h"
#include "python_side/native/error.h"
#include "python_side/native/seconds.h"

namespace slotring::python {

namespace {

struct ChannelObject {
  PyObject_HEAD Channel channel;
};

void deallocate(PyObject* self) {
  channel_of(self).~Channel();
  free_object(self);
}

PyObject* next_item(PyObject* self) {
  Result<std::optional<Ref>> item = channel_of(self).receive();
  if (!item) return raise_call_error(item.error());
  return *item ? (*item)->release() : nullptr;  // without an exception: StopIteration
}

PyObject* this_itself(PyObject* self) { return Ref::share(self).release(); }

PyObject* next_item_later(PyObject* self) {
  const Ref streams = Ref::steal(PyImport_ImportModule("slotring.streams"));
  return streams ? PyObject_CallMethod(streams.get(), "next_item", "O", self) : nullptr;
}

PyObject* check_reader(PyObject* self, PyObject* /*none*/) {
  const Status may = channel_of(self).may_send();
  return may ? none() : raise_call_error(may.error());
}

PyObject* send(PyObject* self, PyObject* item) {
  const Status sent = channel_of(self).send(item);
  return sent ? none() : raise_call_error(sent.error());
}

PyObject* try_send(PyObject* self, PyObject* item) {
  const Result<bool> sent = channel_of(self).try_send(item);
  return sent ? PyBool_FromLong(*sent ? 1 : 0) : raise_call_error(sent.error());
}

PyObject* ask(PyObject* self, PyObject* arguments) {
  const char* tool = nullptr;
  Py_ssize_t tool_bytes = 0;
  PyObject* argument = nullptr;
  shm::MonotonicNs deadline = shm::kNever;
  if (!PyArg_ParseTuple(arguments, "s#OO&", &tool, &tool_bytes, &argument, parse_deadline,
                        &deadline)) {
    return nullptr;
  }
  const Result<std::uint64_t> question =
      channel_of(self).ask({tool, static_cast<std::size_t>(tool_bytes)}, argument, deadline);
  return question ? PyLong_FromUnsignedLongLong(*question) : raise_call_error(question.error());
}

PyObject* answer(PyObject* self, PyObject* question) {
  const std::uint64_t number = PyLong_AsUnsignedLongLong(question);
  if (PyErr_Occurred() != nullptr) return nullptr;
  Result<Ref> given = channel_of(self).answer(number);
  return given ? given->release() : raise_call_error(given.error());
}

PyObject* ready(PyObject* self, PyObject* what) {
  const std::int64_t number = PyLong_AsLongLong(what);
  if (PyErr_Occurred() != nullptr) return nullptr;
  const Result<bool> there = channel_of(self).ready(number);
  return there ? PyBool_FromLong(*there ? 1 : 0) : raise_call_error(there.error());
}

PyObject* wait(PyObject* self, PyObject* what) {
  const std::int64_t number = PyLong_AsLongLong(what);
  if (PyErr_Occurred() != nullptr) return nullptr;
  const Status waited = channel_of(self).wait(number);
  return waited ? none() : raise_call_error(waited.error());
}

PyObject* announce(PyObject* self, PyObject* what) {
  const std::int64_t number = PyLong_AsLongLong(what);
  if (PyErr_Occurred() != nullptr) return nullptr;
  return seconds_until(channel_of(self).announce(number));
}

PyMethodDef channel_methods[] = {
    {"check_reader", check_reader, METH_NOARGS, "Raises when the caller reads no stream."},
    {"send", send, METH_O, "Sends an item of the stream; waits for room."},
    {"try_send", try_send, METH_O, "Sends an item of the stream; False when there is no room."},
    {"ask", ask, METH_VARARGS, "Asks a tool of the caller; the question's number."},
    {"answer", answer, METH_O, "Waits for a question's answer."},
    {"ready", ready, METH_O, "Whether 0: an item, -1: room, else: an answer, is there."},
    {"wait", wait, METH_O, "Waits until it is ready()."},
    {"announce", announce, METH_O, "Before a look at ready(), for who waits by himself."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot channel_slots[] = {
    {Py_tp_doc, const_cast<char*>("The items that the caller sends: iterate, or async for.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_tp_methods, channel_methods},
    {Py_tp_iter, reinterpret_cast<void*>(this_itself)},
    {Py_tp_iternext, reinterpret_cast<void*>(next_item)},
    {Py_am_aiter, reinterpret_cast<void*>(this_itself)},
    {Py_am_anext, reinterpret_cast<void*>(next_item_later)},
    {0, nullptr},
};

}  // namespace

PyType_Spec channel_spec = {
    .name = "slotring._native.Channel",
    .basicsize = sizeof(ChannelObject),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = channel_slots,
};

Ref new_channel(PyTypeObject* channel_type, Server* server, const shm::RunningCall* call) {
  auto* object = PyObject_New(ChannelObject, channel_type);
  if (object == nullptr) return Ref();
  if (server == nullptr) {
    new (&object->channel) Channel(as_object(object));
  } else {
    new (&object->channel) Channel(as_object(object), *server, *call);
  }
  return Ref::steal(as_object(object));
}

Channel& channel_of(PyObject* channel) {
  return reinterpret_cast<ChannelObject*>(channel)->channel;
}

}  // namespace slotring::python
