// Owning references to Python objects, and the GIL.
//
// The extension is built against the limited API of CPython 3.11, so that one binary serves every
// later version too. Whatever takes or gives a PyObject* here is called with the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_PYTHON_REF_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_PYTHON_REF_H_

#include <Python.h>

#include <string_view>
#include <utility>

namespace slotring::python {

template <class T>
PyObject* as_object(T* object) {
  return reinterpret_cast<PyObject*>(object);
}

// For a type's tp_dealloc: gives back an instance's memory and its reference to its type.
inline void free_object(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(as_object(type));
}

// One strong reference, or none.
class Ref {
 public:
  Ref() = default;
  // Takes over a new reference, such as most functions of Python's API return.
  static Ref steal(PyObject* object) { return Ref(object); }
  // Adds a reference to a borrowed one.
  static Ref share(PyObject* object) {
    Py_XINCREF(object);
    return Ref(object);
  }
  Ref(const Ref& other) : Ref(share(other.object_)) {}
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }

  PyObject* get() const { return object_; }
  PyObject* release() { return std::exchange(object_, nullptr); }
  void reset() { Py_XDECREF(std::exchange(object_, nullptr)); }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  explicit Ref(PyObject* object) : object_(object) {}

  PyObject* object_ = nullptr;
};

// A str, where what is no UTF-8 is replaced; null with a Python exception.
inline Ref str_of(std::string_view text) {
  return Ref::steal(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

// None, as a function of Python's API returns it.
inline PyObject* none() { return Ref::share(Py_None).release(); }

// Other Python threads run while this lives. Nothing of Python may be touched meanwhile.
class GilRelease {
 public:
  GilRelease() : saved_(PyEval_SaveThread()) {}
  ~GilRelease() { PyEval_RestoreThread(saved_); }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* saved_;
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_PYTHON_REF_H_
