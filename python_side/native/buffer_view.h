// A view of a Python object's buffer, given back at the end. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_BUFFER_VIEW_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_BUFFER_VIEW_H_

#include "python_side/native/python_ref.h"

namespace slotring::python {

class BufferView {
 public:
  BufferView(PyObject* object, int flags) : held_(PyObject_GetBuffer(object, &view_, flags) == 0) {}
  ~BufferView() {
    if (held_) PyBuffer_Release(&view_);
  }
  BufferView(const BufferView&) = delete;
  BufferView& operator=(const BufferView&) = delete;

  bool held() const { return held_; }  // when not, a Python exception is set
  const Py_buffer& operator*() const { return view_; }
  const Py_buffer* operator->() const { return &view_; }

 private:
  Py_buffer view_{};
  bool held_;
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_BUFFER_VIEW_H_
