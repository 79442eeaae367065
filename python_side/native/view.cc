#include "python_side/native/view.h"

#include <unistd.h>

#include <algorithm>
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
[[noreturn]] void end_worker(std::string_view method, const std::string& why) {
  const std::string line = "slotring: the method '" + std::string(method) +
                           "' kept a view of its request, whose memory cannot be set aside (" +
                           why + "); this worker ends\n";
  // Nothing can be done about a failure.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(kExitUnsafe);
}

}  // namespace

struct RequestArea {
  PyObject_HEAD std::span<const std::byte> payload;
  Py_ssize_t views;
  // Set only while RequestViews::open() runs: whoever gets at this object by memoryview.obj cannot
  // make a view of a later call.
  bool opening;
  KeptMemory* kept;  // owned; null while the area is the slot's own
};

namespace {

RequestArea* as_area(PyObject* self) { return reinterpret_cast<RequestArea*>(self); }

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  RequestArea* area = as_area(self);
  if (!area->opening) {
    view->obj = nullptr;
    PyErr_SetString(PyExc_BufferError, "a request is viewed through its memoryview only");
    return -1;
  }
  void* bytes = const_cast<std::byte*>(area->payload.data());  // NOLINT: filled in as read-only
  if (PyBuffer_FillInfo(view, self, bytes, static_cast<Py_ssize_t>(area->payload.size()),
                        /*readonly=*/1, flags) != 0) {
    return -1;
  }
  ++area->views;
  return 0;
}

void release_buffer(PyObject* self, Py_buffer* /*view*/) { --as_area(self)->views; }

void deallocate(PyObject* self) {
  delete as_area(self)->kept;
  free_object(self);
}

PyType_Slot request_area_slots[] = {
    {Py_tp_doc, const_cast<char*>("A slot's request area; its views are memoryviews.")},
    {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
    {Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
    {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
    {0, nullptr},
};

RequestArea* new_area(PyTypeObject* type) {
  RequestArea* area = PyObject_New(RequestArea, type);
  if (area == nullptr) return nullptr;
  area->payload = {};
  area->views = 0;
  area->opening = false;
  area->kept = nullptr;
  return area;
}

}  // namespace

PyType_Spec request_area_spec = {
    .name = "slotring._native.RequestArea",
    .basicsize = sizeof(RequestArea),
    .itemsize = 0,
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = request_area_slots,
};

RequestViews::RequestViews(shm::WorkerSeat& seat, PyTypeObject* area_type)
    : seat_(&seat),
      area_type_(area_type),
      first_slot_(seat.segment().first_slot(seat.index())),
      areas_(seat.segment().geometry().slots_per_worker),
      kept_bytes_(std::make_shared<std::uint64_t>(0)) {
  Py_INCREF(as_object(area_type_));
}

RequestViews::~RequestViews() {
  for (RequestArea* area : areas_) Py_XDECREF(as_object(area));
  Py_DECREF(as_object(area_type_));
}

Ref RequestViews::open(const shm::RunningCall& call) {
  RequestArea*& area = area_of(call);
  if (area == nullptr) area = new_area(area_type_);
  if (area == nullptr) return Ref();
  area->payload = call.payload;
  area->opening = true;
  Ref view = Ref::steal(PyMemoryView_FromObject(as_object(area)));
  area->opening = false;
  return view;
}

bool RequestViews::viewed(const shm::RunningCall& call) const {
  const RequestArea* area = areas_[call.slot - first_slot_];
  return area != nullptr && area->views > 0;
}

Status RequestViews::keep(const shm::RunningCall& call, std::string_view method) {
  using Contents = shm::Mapping::Contents;
  const std::uint64_t bytes = std::max<std::uint64_t>(call.payload.size(), kLeastKeptBytes);
  if (kept_bytes() + bytes > kMaxKeptBytes && collect_dead_views() && !viewed(call)) return Done{};
  if (kept_bytes() + bytes <= kMaxKeptBytes) {
    detach(call, Contents::kSame, bytes, method);
    return Done{};
  }
  if (kept_bytes() + kLeastKeptBytes > 2 * kMaxKeptBytes) {
    end_worker(method, "too many views are kept");
  }
  detach(call, Contents::kZeros, kLeastKeptBytes, method);
  return Error{ErrorCode::kViewEscaped,
               "the method '" + std::string(method) +
                   "' kept a view of its request past its call, and this worker keeps " +
                   std::to_string(kept_bytes() >> 20) +
                   " MiB of earlier requests already: this one reads as zeros from now on. Copy "
                   "what must outlive the call, e.g. with bytes(request)."};
}

// Views in reference cycles, this call's or earlier ones', may be dead already. When they were not,
// looking again at each call would cost more than the calls.
bool RequestViews::collect_dead_views() {
  const shm::MonotonicNs now = shm::monotonic_now();
  if (now < next_collection_ns_) return false;
  const std::uint64_t before = kept_bytes();
  collect_garbage();
  if (kept_bytes() == before) next_collection_ns_ = now + kCollectionPauseNs;
  return true;
}

void RequestViews::detach(const shm::RunningCall& call, shm::Mapping::Contents contents,
                          std::uint64_t charged_bytes, std::string_view method) {
  RequestArea* successor = new_area(area_type_);
  if (successor == nullptr) end_worker(method, "no memory");
  Result<shm::Mapping> mapping = seat_->give_request_area(call);
  if (!mapping) end_worker(method, mapping.error().message);
  const auto end =
      static_cast<std::uint64_t>(call.payload.data() + call.payload.size() - mapping->data());
  if (Status cut = mapping->make_private(end, contents); !cut) {
    end_worker(method, cut.error().message);
  }
  *kept_bytes_ += charged_bytes;
  RequestArea*& area = area_of(call);
  area->kept = new KeptMemory{*std::move(mapping), kept_bytes_, charged_bytes};
  Py_DECREF(as_object(std::exchange(area, successor)));
}

}  // namespace slotring::python
