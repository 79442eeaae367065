// What a handler sees of a request's bytes: a read-only memoryview of the slot itself, without a
// copy.
//
//     memoryview --> RequestArea (a Python object that counts its views) --> the slot's mapping
//
// Guarantee: a view shows the bytes of its own call for as long as it lives, never those of
// another. When a handler has kept one past its call (in a global, a slice, a numpy array, a
// thread, an exception, a cycle), the memory under it is cut off from the slot before the call
// ends: a private copy takes the same addresses, the slot goes on at new ones, and the copy goes
// when the last view does.
//
// Kept bytes are bounded (kMaxKeptBytes a worker). Beyond, the call fails with VIEW_ESCAPED, and
// what was kept reads as zeros. Where not even that can be had, the worker ends rather than show
// another call's bytes.
//
// Not covered: a process that a handler forks sees later calls through the views that it inherits.
//
// With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_VIEW_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_VIEW_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"

namespace slotring::python {

inline constexpr std::uint64_t kMaxKeptBytes = std::uint64_t{256} << 20;
// What a kept view counts at least: bounds their number too, since each takes one of the process'
// mappings.
inline constexpr std::uint64_t kLeastKeptBytes = std::uint64_t{16} << 10;

struct RequestArea;

// The views of one worker's requests, a RequestArea a slot.
class RequestViews {
 public:
  // `area_type` is the Python type made from request_area_spec(). `seat` outlives this.
  RequestViews(shm::WorkerSeat& seat, PyTypeObject* area_type);
  ~RequestViews();
  RequestViews(const RequestViews&) = delete;
  RequestViews& operator=(const RequestViews&) = delete;

  // A memoryview of the payload; null with a Python exception.
  Ref open(const shm::RunningCall& call);
  // Whether somebody still looks at the slot's area.
  bool viewed(const shm::RunningCall& call) const;
  // Must be called before the call ends, with all own references gone. Errors: VIEW_ESCAPED.
  Status close(const shm::RunningCall& call, std::string_view method) {
    if (!viewed(call)) [[likely]]
      return Done{};
    return keep(call, method);
  }

  std::uint64_t kept_bytes() const { return *kept_bytes_; }

 private:
  Status keep(const shm::RunningCall& call, std::string_view method);
  bool collect_dead_views();
  void detach(const shm::RunningCall& call, shm::Mapping::Contents contents,
              std::uint64_t charged_bytes, std::string_view method);
  RequestArea*& area_of(const shm::RunningCall& call) { return areas_[call.slot - first_slot_]; }

  shm::WorkerSeat* seat_;
  PyTypeObject* area_type_;
  shm::SlotIndex first_slot_;
  std::vector<RequestArea*> areas_;  // a strong reference each; null until the slot's first view
  std::shared_ptr<std::uint64_t> kept_bytes_;  // views may outlive the worker
  shm::MonotonicNs next_collection_ns_ = 0;
};

extern PyType_Spec request_area_spec;

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_VIEW_H_
