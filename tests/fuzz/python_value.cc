// Values (FlexBuffers) as a worker reads them: its own reader makes Python objects of a hostile
// client's bytes.
//
//     input: the payload

#include <cstdio>
#include <memory>

#include "python_side/native/error.h"
#include "python_side/native/value.h"
#include "tests/fuzz/seed_corpus.h"
#include "tests/fuzz/seed_values.h"

// CPython keeps what it has until its process ends, and allocates in pools of its own, behind which
// the sanitizer sees nothing.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace slotring::fuzz {

std::vector<Input> seeds() { return seed_values(); }

namespace {
void start_python() {
  ::setenv("PYTHONMALLOC", "malloc", 1);
  Py_InitializeEx(/*initsigs=*/0);
}
}  // namespace

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  static const bool started = (fuzz::start_python(), true);
  (void)started;
  // Exactly its size, as the worker's private copy.
  const std::unique_ptr<std::byte[]> copy(new std::byte[size]);
  if (size > 0) std::memcpy(copy.get(), data, size);
  Result<python::Ref> value = python::read_value({copy.get(), size});
  FUZZ_CHECK(PyErr_Occurred() == nullptr);
  if (value) {
    const python::Ref text = python::Ref::steal(PyObject_Repr(value->get()));
    if (!text) PyErr_Clear();
  } else {
    FUZZ_CHECK(value.error().code == ErrorCode::kBadFrame ||
               value.error().code == ErrorCode::kOutOfMemory);
  }
  return 0;
}
