// What a handler sees of a slot's memory: memoryviews of the slot itself, without a copy. Those of
// a request are read-only; those of a reply (reply_arrays.h) may be written.
//
//     numpy array, torch tensor, ... --> memoryview --> Area (a Python object that counts its
//     views) --> the slot's mapping
//
// Guarantee: a view shows the bytes of its own call for as long as it lives, never those of
// another, and what is written to it after the call reaches nobody. When a handler has kept one
// past its call (in a global, a slice, a numpy array, a thread, an exception, a cycle), the memory
// under it is cut off from the slot before the call ends: a private copy takes the same addresses,
// the slot goes on at new ones, and the copy goes when the last view does.
//
// Kept bytes, of requests and replies together, are bounded (kMaxKeptBytes a worker). Beyond, the
// call fails with VIEW_ESCAPED, and what was kept reads as zeros. Where not even that can be had,
// the worker ends rather than show another call's bytes.
//
// Not covered: a process that a handler forks sees later calls through the views that it inherits.
//
// With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_VIEW_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_VIEW_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "slotring/tensor.h"

namespace slotring::python {

inline constexpr std::uint64_t kMaxKeptBytes = std::uint64_t{256} << 20;
// What a kept view counts at least: bounds their number too, since each takes one of the process'
// mappings.
inline constexpr std::uint64_t kLeastKeptBytes = std::uint64_t{16} << 10;

struct Area;

// From the first of its bytes to the end of the last.
std::pair<const std::byte*, const std::byte*> reach_of(const Tensor& tensor);

// Memory as memoryviews show it. An Area may also be of memory that is no slot's.
class ViewedArea {
 public:
  // `area_type` is the Python type made from area_spec(). Null with a Python exception.
  static Area* create(PyTypeObject* area_type);
  // Of `owner`'s memory, which lives as long as a view does.
  static Ref of(PyTypeObject* area_type, PyObject* owner);

  // A memoryview of these bytes; null with a Python exception.
  static Ref open(Area* area, std::span<const std::byte> bytes);
  // One of this tensor, with its format and shape.
  static Ref open(Area* area, const Tensor& tensor, bool writable);
};

// The views of one side of a worker's slots, requests or replies: an Area a slot.
class AreaViews {
 public:
  // Must be called before the call ends, with all own references gone. Errors: VIEW_ESCAPED.
  Status close(const shm::RunningCall& call, std::string_view method) {
    if (!viewed(call)) [[likely]]
      return Done{};
    return keep(call, method);
  }
  // Whether somebody still looks at the slot's area.
  bool viewed(const shm::RunningCall& call) const;

  std::uint64_t kept_bytes() const { return *kept_bytes_; }
  PyTypeObject* area_type() const { return area_type_; }

 protected:
  AreaViews(shm::WorkerSeat& seat, PyTypeObject* area_type, const char* side,
            std::shared_ptr<std::uint64_t> kept_bytes);
  ~AreaViews();
  AreaViews(const AreaViews&) = delete;
  AreaViews& operator=(const AreaViews&) = delete;

  // The slot's Area, made if need be; null with a Python exception.
  Area* area_of(const shm::RunningCall& call);
  shm::WorkerSeat& seat() const { return *seat_; }
  const std::shared_ptr<std::uint64_t>& kept_bytes_counter() const { return kept_bytes_; }
  std::size_t index_of(const shm::RunningCall& call) const { return call.slot - first_slot_; }

  // Gives the mapping that the views are of.
  virtual Result<shm::Mapping> give_area(const shm::RunningCall& call) = 0;
  // What the private pages allow.
  virtual shm::Access access() const = 0;

 private:
  Status keep(const shm::RunningCall& call, std::string_view method);
  bool collect_dead_views();
  void detach(const shm::RunningCall& call, shm::Mapping::Contents contents,
              std::uint64_t charged_bytes, std::string_view method);

  shm::WorkerSeat* seat_;
  PyTypeObject* area_type_;
  const char* side_;  // for messages
  shm::SlotIndex first_slot_;
  std::vector<Area*> areas_;  // a strong reference each; null until the slot's first view
  std::shared_ptr<std::uint64_t> kept_bytes_;  // views may outlive the worker
  shm::MonotonicNs next_collection_ns_ = 0;
};

class RequestViews final : public AreaViews {
 public:
  // `seat` outlives this.
  RequestViews(shm::WorkerSeat& seat, PyTypeObject* area_type)
      : AreaViews(seat, area_type, "request", std::make_shared<std::uint64_t>(0)) {}

  // A memoryview of the payload; null with a Python exception.
  Ref open(const shm::RunningCall& call);
  // One of a tensor in it.
  Ref open(const shm::RunningCall& call, const Tensor& tensor);

  // For the views of the other side, which are counted together with these.
  const std::shared_ptr<std::uint64_t>& counter() const { return kept_bytes_counter(); }

 private:
  Result<shm::Mapping> give_area(const shm::RunningCall& call) override {
    return seat().give_request_area(call);
  }
  shm::Access access() const override { return shm::Access::kReadOnly; }
};

extern PyType_Spec area_spec;

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_VIEW_H_
