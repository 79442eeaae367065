// Turns a Python object into a payload: a reply in its slot, an item of a stream, a tool's
// argument. With the GIL held.
//
//     None                                               -> Empty
//     a buffer: bytes, bytearray, memoryview, array,
//       numpy array of any dtype and layout (C order)     -> Bytes, copied once
//     bool, int, float, str, list, tuple, dict,
//       numpy scalar                                      -> Value (value.h)
//     anything else                                       -> REPLY_NOT_CONVERTIBLE

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/value.h"

namespace slotring::python {

// What was written into a sink's space, to be committed.
struct WrittenReply {
  wire::PayloadKind kind;
  std::uint64_t bytes;
  std::string_view table_type = {};  // of a table
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
};

// A call's reply.
class SlotSink final : public PayloadSink {
 public:
  // Both outlive this.
  SlotSink(shm::WorkerSeat& seat, const shm::RunningCall& call) : seat_(seat), call_(call) {}

  Result<std::span<std::byte>> space(std::uint64_t bytes, bool /*with_rare_part*/) override {
    return seat_.reply_space(call_, bytes);
  }
  std::uint64_t max_bytes() const override { return seat_.max_reply_bytes(); }

 private:
  shm::WorkerSeat& seat_;
  const shm::RunningCall& call_;
};

// Writes `bytes` as they are.
Result<WrittenReply> write_bytes(PayloadSink& sink, std::span<const std::byte> bytes);

class ReplyWriter {
 public:
  // Errors: REPLY_NOT_CONVERTIBLE, and those of sink.space().
  Result<WrittenReply> write(PayloadSink& sink, PyObject* reply);

 private:
  Result<WrittenReply> write_value(PayloadSink& sink, PyObject* reply);

  ValueWriter values_;
  bool writing_ = false;  // a value; the user's code may run meanwhile, and with it other calls
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_
