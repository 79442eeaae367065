// Turns a Python object into a payload: a reply in its slot, an item of a stream, a tool's
// argument. With the GIL held.
//
//     None                                               -> Empty
//     a buffer: bytes, bytearray, memoryview, array       -> Bytes, copied once
//     an array: what has __array_interface__, or
//       __dlpack__ on the CPU (slotring/tensors.py)       -> Tensors, in place or copied once
//     a list or tuple of arrays                           -> Tensors
//     a dict with arrays among its items                  -> Tensors with names, and a Value
//     bool, int, float, str, list, tuple, dict,
//       numpy scalar, array without dimensions            -> Value (value.h)
//     anything else                                       -> REPLY_NOT_CONVERTIBLE

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/shm/tensors.h"
#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/reply_arrays.h"
#include "python_side/native/value.h"

namespace slotring::python {

// What a payload of tensors consists of. Not to be copied: `heads` are of `placed`.
struct TensorParts {
  std::vector<shm::PlacedTensor> placed;
  std::vector<shm::TensorHead> heads;
  std::uint64_t value_bytes = 0;
};

// What was written into a sink's space, to be committed.
struct WrittenReply {
  wire::PayloadKind kind;
  std::uint64_t bytes;
  std::string_view table_type = {};                 // of a table
  std::shared_ptr<const TensorParts> tensors = {};  // of kind Tensors

  // For its envelope; lives as long as this.
  shm::RareHead parts() const {
    if (tensors == nullptr) return {.table_type = table_type};
    return {.tensors = tensors->heads, .value_bytes = tensors->value_bytes};
  }
};

// The arrays that a call's reply has in place (reply_arrays.h). Borrowed.
class ArraysInPlace {
 public:
  ArraysInPlace(ReplyArrays& arrays, const shm::RunningCall& call)
      : arrays_(&arrays), call_(&call) {}
  std::optional<std::uint64_t> offset_of(const Tensor& tensor) const {
    return arrays_->offset_of(*call_, tensor);
  }
  std::uint64_t end() const { return arrays_->end(*call_); }
  Result<std::span<std::byte>> grow(std::uint64_t more) const {
    return arrays_->grow(*call_, more);
  }

 private:
  ReplyArrays* arrays_;
  const shm::RunningCall* call_;
};

// Where a payload goes.
class PayloadSink {
 public:
  virtual ~PayloadSink() = default;
  // `bytes` of space, 64-byte aligned; what was given before is void. `with_rare_part`: the payload
  // is of a kind that its frame's envelope describes. Errors: PAYLOAD_TOO_LARGE, OUT_OF_MEMORY, and
  // those of waiting for space, where the sink waits.
  virtual Result<std::span<std::byte>> space(std::uint64_t bytes, bool with_rare_part) = 0;
  virtual std::uint64_t max_bytes() const = 0;
  // What is written, for messages: "the reply of 'resize'".
  virtual std::string what() const = 0;
  // What stands there already, and need not be copied.
  virtual std::optional<ArraysInPlace> in_place() { return std::nullopt; }
};

// A call's reply.
class SlotSink final : public PayloadSink {
 public:
  // All outlive this. `method` is the call's, for messages.
  SlotSink(shm::WorkerSeat& seat, const shm::RunningCall& call, ReplyArrays& arrays,
           std::string_view method)
      : seat_(seat), call_(call), arrays_(arrays), method_(method) {}

  Result<std::span<std::byte>> space(std::uint64_t bytes, bool /*with_rare_part*/) override {
    // What is written may be of such an array.
    if (arrays_.has_some(call_)) [[unlikely]] {
      if (Status aside = arrays_.set_aside(call_, method_); !aside) {
        return std::move(aside).error();
      }
    }
    return seat_.reply_space(call_, bytes);
  }
  std::optional<ArraysInPlace> in_place() override {
    if (!arrays_.has_some(call_)) return std::nullopt;
    return ArraysInPlace(arrays_, call_);
  }
  std::uint64_t max_bytes() const override { return seat_.max_reply_bytes(); }
  std::string what() const override { return "the reply of '" + std::string(method_) + "'"; }

 private:
  shm::WorkerSeat& seat_;
  const shm::RunningCall& call_;
  ReplyArrays& arrays_;
  std::string_view method_;
};

// Writes `bytes` as they are.
Result<WrittenReply> write_bytes(PayloadSink& sink, std::span<const std::byte> bytes);

class ReplyWriter {
 public:
  // Errors: REPLY_NOT_CONVERTIBLE, and those of sink.space().
  Result<WrittenReply> write(PayloadSink& sink, PyObject* reply);

 private:
  Result<WrittenReply> write_value(PayloadSink& sink, PyObject* reply);
  Result<WrittenReply> write_value_bytes(PayloadSink& sink, PyObject* reply, bool& met_array);
  Result<WrittenReply> write_parts(PayloadSink& sink, PyObject* reply);

  ValueWriter values_;
  bool writing_ = false;  // a value; the user's code may run meanwhile, and with it other calls
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_
