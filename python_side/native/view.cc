#include "python_side/native/view.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <new>
#include <string>

namespace slotring::python {

namespace {

// Memory that was cut off from its slot for the sake of the views on it.
struct KeptMemory {
  shm::Mapping mapping;
  std::shared_ptr<std::uint64_t> kept_bytes;
  std::uint64_t charged_bytes;

  ~KeptMemory() { *kept_bytes -= charged_bytes; }
};

// As gc.collect() does, also where the user has disabled the automatic collection.
void collect_garbage() {
  const Ref gc = Ref::steal(PyImport_ImportModule("gc"));
  const Ref collected = gc ? Ref::steal(PyObject_CallMethod(gc.get(), "collect", nullptr)) : Ref();
  if (!collected) PyErr_Clear();
}

constexpr std::uint64_t kCollectionPauseNs = 1'000'000'000;  // after one in vain
constexpr int kExitUnsafe = 70;                              // EX_SOFTWARE

// Ends the worker without ending its call: whoever waits for it learns of the worker's death, and
// nobody writes to the slot before all that is left of this process is gone.
[[noreturn]] void end_worker(std::string_view method, std::string_view side,
                             const std::string& why) {
  const std::string line = "slotring: the method '" + std::string(method) +
                           "' kept a view of its " + std::string(side) +
                           ", whose memory cannot be set aside (" + why + "); this worker ends\n";
  // Nothing can be done about a failure.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(kExitUnsafe);
}

// How a memoryview's items are laid out; lives as long as the view.
struct BufferForm {
  std::array<Py_ssize_t, kMaxDimensions> shape;
  std::array<Py_ssize_t, kMaxDimensions> strides;
};

}  // namespace

struct Area {
  PyObject_HEAD Py_ssize_t views;
  // What the next memoryview shows. Set only while it is made: whoever gets at this object by
  // memoryview.obj cannot make a view of a later call.
  const std::byte* opened;
  std::uint64_t opened_bytes;
  const Tensor* opened_tensor;  // null: plain bytes
  bool writable;
  const std::byte* begin;  // of all that is viewed
  const std::byte* end;
  PyObject* owner;   // of memory that is no slot's; or null
  KeptMemory* kept;  // owned; null while the area is the slot's own

  void cover(const std::byte* from, const std::byte* to) {
    begin = views == 0 ? from : std::min(begin, from);
    end = views == 0 ? to : std::max(end, to);
  }
};

namespace {

Area* as_area(PyObject* self) { return reinterpret_cast<Area*>(self); }

// PEP 3118's, of items in this machine's order.
const char* format_of(DType dtype) {
  static constexpr std::array<const char*, 14> kFormats{"?", "b", "h", "i", "l", "B",  "H",
                                                        "I", "L", "e", "f", "d", "Zf", "Zd"};
  return kFormats[static_cast<std::size_t>(dtype)];
}

int fill_tensor(const Tensor& tensor, Py_buffer* view) {
  auto* form = new (std::nothrow) BufferForm;
  if (form == nullptr) {
    PyErr_NoMemory();
    return -1;
  }
  const auto as_ssize = [](auto n) { return static_cast<Py_ssize_t>(n); };
  std::transform(tensor.shape().begin(), tensor.shape().end(), form->shape.begin(), as_ssize);
  std::transform(tensor.strides().begin(), tensor.strides().end(), form->strides.begin(), as_ssize);
  view->internal = form;
  view->format = const_cast<char*>(format_of(tensor.dtype()));  // NOLINT: nobody writes to it
  view->itemsize = static_cast<Py_ssize_t>(bytes_of(tensor.dtype()));
  view->len = static_cast<Py_ssize_t>(tensor.bytes());
  view->ndim = static_cast<int>(tensor.dimensions());
  view->shape = form->shape.data();
  view->strides = form->strides.data();
  return 0;
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  Area* area = as_area(self);
  view->obj = nullptr;
  if (area->opened == nullptr) {
    PyErr_SetString(PyExc_BufferError, "a slot's memory is viewed through its memoryview only");
    return -1;
  }
  void* bytes =
      const_cast<std::byte*>(area->opened);  // NOLINT: filled in as read-only, or writable
  if (PyBuffer_FillInfo(view, self, bytes, static_cast<Py_ssize_t>(area->opened_bytes),
                        area->writable ? 0 : 1, flags) != 0) {
    return -1;
  }
  view->internal = nullptr;
  if (area->opened_tensor != nullptr && fill_tensor(*area->opened_tensor, view) != 0) {
    view->obj = nullptr;
    Py_DECREF(self);
    return -1;
  }
  ++area->views;
  return 0;
}

void release_buffer(PyObject* self, Py_buffer* view) {
  delete static_cast<BufferForm*>(view->internal);
  --as_area(self)->views;
}

void deallocate(PyObject* self) {
  delete as_area(self)->kept;
  Py_XDECREF(as_area(self)->owner);
  free_object(self);
}

PyType_Slot area_slots[] = {
    {Py_tp_doc, const_cast<char*>("Memory of a slot's; its views are memoryviews.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
    {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
    {0, nullptr},
};

}  // namespace

std::pair<const std::byte*, const std::byte*> reach_of(const Tensor& tensor) {
  const std::byte* low = tensor.data();
  const std::byte* high = tensor.data();
  if (tensor.elements() == 0) return {low, high};
  for (std::size_t d = 0; d < tensor.dimensions(); ++d) {
    const std::int64_t last =
        static_cast<std::int64_t>(tensor.shape()[d] - 1) * tensor.strides()[d];
    (last < 0 ? low : high) += last;
  }
  return {low, high + bytes_of(tensor.dtype())};
}

PyType_Spec area_spec = {
    .name = "slotring._native.Area",
    .basicsize = sizeof(Area),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = area_slots,
};

Area* ViewedArea::create(PyTypeObject* area_type) {
  Area* area = PyObject_New(Area, area_type);
  if (area == nullptr) return nullptr;
  area->views = 0;
  area->opened = area->begin = area->end = nullptr;
  area->opened_bytes = 0;
  area->opened_tensor = nullptr;
  area->writable = false;
  area->owner = nullptr;
  area->kept = nullptr;
  return area;
}

Ref ViewedArea::of(PyTypeObject* area_type, PyObject* owner) {
  Area* area = create(area_type);
  if (area != nullptr) area->owner = Ref::share(owner).release();
  return Ref::steal(as_object(area));
}

Ref ViewedArea::open(Area* area, std::span<const std::byte> bytes) {
  area->cover(bytes.data(), bytes.data() + bytes.size());
  area->opened = bytes.data();
  area->opened_bytes = bytes.size();
  area->opened_tensor = nullptr;
  area->writable = false;
  Ref view = Ref::steal(PyMemoryView_FromObject(as_object(area)));
  area->opened = nullptr;
  return view;
}

Ref ViewedArea::open(Area* area, const Tensor& tensor, bool writable) {
  const auto [low, high] = reach_of(tensor);
  area->cover(low, high);
  area->opened = tensor.data();
  area->opened_bytes = tensor.bytes();
  area->opened_tensor = &tensor;
  area->writable = writable;
  Ref view = Ref::steal(PyMemoryView_FromObject(as_object(area)));
  area->opened = nullptr;
  return view;
}

AreaViews::AreaViews(shm::WorkerSeat& seat, PyTypeObject* area_type, const char* side,
                     std::shared_ptr<std::uint64_t> kept_bytes)
    : seat_(&seat),
      area_type_(area_type),
      side_(side),
      first_slot_(seat.segment().first_slot(seat.index())),
      areas_(seat.segment().geometry().slots_per_worker),
      kept_bytes_(std::move(kept_bytes)) {
  Py_INCREF(as_object(area_type_));
}

AreaViews::~AreaViews() {
  for (Area* area : areas_) Py_XDECREF(as_object(area));
  Py_DECREF(as_object(area_type_));
}

Area* AreaViews::area_of(const shm::RunningCall& call) {
  Area*& area = areas_[index_of(call)];
  if (area == nullptr) area = ViewedArea::create(area_type_);
  return area;
}

bool AreaViews::viewed(const shm::RunningCall& call) const {
  const Area* area = areas_[index_of(call)];
  return area != nullptr && area->views > 0;
}

Ref RequestViews::open(const shm::RunningCall& call) {
  Area* area = area_of(call);
  return area == nullptr ? Ref() : ViewedArea::open(area, call.payload);
}

Ref RequestViews::open(const shm::RunningCall& call, const Tensor& tensor) {
  Area* area = area_of(call);
  return area == nullptr ? Ref() : ViewedArea::open(area, tensor, /*writable=*/false);
}

Status AreaViews::keep(const shm::RunningCall& call, std::string_view method) {
  using Contents = shm::Mapping::Contents;
  const Area& area = *areas_[index_of(call)];
  const std::uint64_t bytes =
      std::max<std::uint64_t>(static_cast<std::uint64_t>(area.end - area.begin), kLeastKeptBytes);
  if (kept_bytes() + bytes > kMaxKeptBytes && collect_dead_views() && !viewed(call)) return Done{};
  if (kept_bytes() + bytes <= kMaxKeptBytes) {
    detach(call, Contents::kSame, bytes, method);
    return Done{};
  }
  if (kept_bytes() + kLeastKeptBytes > 2 * kMaxKeptBytes) {
    end_worker(method, side_, "too many views are kept");
  }
  detach(call, Contents::kZeros, kLeastKeptBytes, method);
  return Error{ErrorCode::kViewEscaped,
               "the method '" + std::string(method) + "' kept a view of its " + side_ +
                   " past its call, and this worker keeps " + std::to_string(kept_bytes() >> 20) +
                   " MiB of earlier calls already: this one reads as zeros from now on. Copy what "
                   "must outlive the call, e.g. with bytes(request) or array.copy()."};
}

// Views in reference cycles, this call's or earlier ones', may be dead already. When they were not,
// looking again at each call would cost more than the calls.
bool AreaViews::collect_dead_views() {
  const shm::MonotonicNs now = shm::monotonic_now();
  if (now < next_collection_ns_) return false;
  const std::uint64_t before = kept_bytes();
  collect_garbage();
  if (kept_bytes() == before) next_collection_ns_ = now + kCollectionPauseNs;
  return true;
}

void AreaViews::detach(const shm::RunningCall& call, shm::Mapping::Contents contents,
                       std::uint64_t charged_bytes, std::string_view method) {
  Area* successor = ViewedArea::create(area_type_);
  if (successor == nullptr) end_worker(method, side_, "no memory");
  Result<shm::Mapping> mapping = give_area(call);
  if (!mapping) end_worker(method, side_, mapping.error().message);
  Area*& area = areas_[index_of(call)];
  const auto end = static_cast<std::uint64_t>(area->end - mapping->data());
  if (Status cut = mapping->make_private(end, contents, access()); !cut) {
    end_worker(method, side_, cut.error().message);
  }
  *kept_bytes_ += charged_bytes;
  area->kept = new KeptMemory{*std::move(mapping), kept_bytes_, charged_bytes};
  Py_DECREF(as_object(std::exchange(area, successor)));
}

}  // namespace slotring::python
