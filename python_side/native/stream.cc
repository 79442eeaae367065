// A call whose handler is a generator.

#include "python_side/native/channel.h"
#include "python_side/native/error.h"
#include "python_side/native/server.h"

namespace slotring::python {

namespace {

// Generators in C never release the GIL by themselves: other threads get a turn after so many
// items.
constexpr std::uint32_t kItemsInTurn = 256;

// What comes of running a generator up to its next yield.
struct Step {
  PySendResult kind;
  Ref value;  // null when it raised
};

Step resume(PyObject* generator) {
  PyObject* value = nullptr;
  const PySendResult kind = PyIter_Send(generator, Py_None, &value);
  return {kind, Ref::steal(value)};
}

// Raises the current exception at the generator's yield.
Step raise_inside(PyObject* generator) {
  const Ref exception = fetch_exception();
  Ref item = Ref::steal(PyObject_CallMethod(generator, "throw", "O", exception.get()));
  if (item) return {PYGEN_NEXT, std::move(item)};
  if (PyErr_ExceptionMatches(PyExc_StopIteration) == 0) return {PYGEN_ERROR, Ref()};
  const Ref stop = fetch_exception();
  return {PYGEN_RETURN, Ref::steal(PyObject_GetAttrString(stop.get(), "value"))};
}

// GeneratorExit at its yield.
void close(PyObject* generator) {
  const Ref closed = Ref::steal(PyObject_CallMethod(generator, "close", nullptr));
  if (!closed) PyErr_WriteUnraisable(generator);  // nobody waits for the call's outcome
}

}  // namespace

Result<WrittenReply> Server::stream(ServedCall& served, PyObject* generator) {
  Ref none;
  PyObject* object = served.channel.get();
  if (object == nullptr) {
    none = new_channel(types_.channel, nullptr, nullptr);
    if (!none) return take_exception(ErrorCode::kInternal);
    object = none.get();
  }
  Channel& channel = channel_of(object);
  if (Status reads = channel.may_send(); !reads) {
    close(generator);
    return std::move(reads).error();
  }
  std::uint32_t items = 0;
  Step step = resume(generator);
  while (step.kind == PYGEN_NEXT) {
    Status sent = channel.send(step.value.get());
    if (++items % kItemsInTurn == 0) const GilRelease released;
    if (sent) {
      step = resume(generator);
      continue;
    }
    if (PyErr_Occurred() != nullptr) {
      step = raise_inside(generator);
      continue;
    }
    step.value.reset();
    close(generator);
    return std::move(sent).error();
  }
  if (step.kind == PYGEN_ERROR) return take_handler_exception(slow_path_.describe.get());
  if (!step.value) return take_exception(ErrorCode::kInternal);
  return write_result(served, step.value.get());
}

}  // namespace slotring::python
