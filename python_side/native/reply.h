// Turns what a handler returned into a reply in the slot. With the GIL held.
//
//     None                                               -> Empty
//     a buffer: bytes, bytearray, memoryview, array,
//       numpy array of any dtype and layout (C order)     -> Bytes, copied once
//     bool, int, float, str, list, tuple, dict,
//       numpy scalar                                      -> Value (value.h)
//     anything else                                       -> REPLY_NOT_CONVERTIBLE

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/value.h"

namespace slotring::python {

// What stands in the reply area, to be committed.
struct WrittenReply {
  wire::PayloadKind kind;
  std::uint64_t bytes;
};

class ReplyWriter {
 public:
  // `seat` outlives this.
  explicit ReplyWriter(shm::WorkerSeat& seat) : seat_(&seat) {}

  // Writes `reply` into the call's reply area. Errors: REPLY_NOT_CONVERTIBLE, PAYLOAD_TOO_LARGE,
  // OUT_OF_MEMORY.
  Result<WrittenReply> write(const shm::RunningCall& call, PyObject* reply);
  // The same for the call's own request, sent back as it is.
  Result<WrittenReply> write_bytes(const shm::RunningCall& call, std::span<const std::byte> bytes);

 private:
  Result<WrittenReply> write_buffer(const shm::RunningCall& call, const Py_buffer& buffer);
  Result<WrittenReply> write_value(const shm::RunningCall& call, PyObject* reply);

  shm::WorkerSeat* seat_;
  ValueWriter values_;
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_REPLY_H_
