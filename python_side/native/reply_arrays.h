// Arrays that handlers make in their reply's memory (ctx.empty()), and send without a copy by
// returning them, or views of them. With the GIL held.
//
//     payload: [kValueRoom bytes, for a value beside the arrays][array][array] ...
//
// The arrays are views (view.h) of a mapping of the reply area beside the one that replies are
// written by: it can be given to arrays that outlive their call.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_REPLY_ARRAYS_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_REPLY_ARRAYS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "python_side/native/view.h"

namespace slotring::python {

class ReplyArrays final : public AreaViews {
 public:
  // The most bytes of values that go beside arrays in place.
  static constexpr std::uint64_t kValueRoom = 4096;

  // What is kept of replies counts together with what is kept of `requests`.
  ReplyArrays(shm::WorkerSeat& seat, const RequestViews& requests)
      : AreaViews(seat, requests.area_type(), "reply", requests.counter()),
        used_(seat.segment().geometry().slots_per_worker) {}

  // A writable memoryview of an array behind those that the call's reply has already; its elements
  // are what they happen to be, of this slot's earlier replies or zeros. Errors: INVALID_ARGUMENT
  // (the shape), PAYLOAD_TOO_LARGE, OUT_OF_MEMORY, SYSTEM_LIMIT, INTERNAL.
  Result<Ref> empty(const shm::RunningCall& call, DType dtype, const Shape& shape);

  // Whether the call's reply has any, which somebody may still look at.
  bool has_some(const shm::RunningCall& call) const {
    return used_[index_of(call)].end != 0 && viewed(call);
  }
  // Where in the reply's payload these elements stand; nothing when it is elsewhere.
  std::optional<std::uint64_t> offset_of(const shm::RunningCall& call, const Tensor& tensor) const;
  // Where the payload ends so far.
  std::uint64_t end(const shm::RunningCall& call) const { return used_[index_of(call)].end; }
  // The whole payload so far, as it is written, `more` bytes longer. Errors: PAYLOAD_TOO_LARGE,
  // OUT_OF_MEMORY; nothing has changed then.
  Result<std::span<std::byte>> grow(const shm::RunningCall& call, std::uint64_t more);

  // Cuts the arrays off from the reply, which is written anew. Errors: VIEW_ESCAPED; the arrays
  // read as zeros then.
  Status set_aside(const shm::RunningCall& call, std::string_view method) {
    used_[index_of(call)].end = 0;
    return close(call, method);
  }
  // As AreaViews::close().
  Status finish(const shm::RunningCall& call, std::string_view method) {
    if (used_[index_of(call)].end == 0) [[likely]]
      return Done{};
    return set_aside(call, method);
  }

 private:
  struct Used {
    std::byte* payload = nullptr;        // where it is viewed
    const std::byte* written = nullptr;  // where it is written
    std::uint64_t end = 0;               // of the payload so far; 0: the call has none
  };

  Result<shm::Mapping> give_area(const shm::RunningCall& call) override {
    return seat().give_reply_area(call);
  }
  shm::Access access() const override { return shm::Access::kReadWrite; }

  std::vector<Used> used_;  // one a slot
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_REPLY_ARRAYS_H_
