// Writing a Python object as a frame of a lane: an item of a stream, what a tool is asked, or what
// a call made by a tool is answered. With the GIL held.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_LANE_SINK_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_LANE_SINK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/channel.h"
#include "python_side/native/reply.h"

namespace slotring::python {

// A frame's payload in a lane that this worker writes.
class LaneSink final : public PayloadSink {
 public:
  enum class Full : bool { kWaits, kFails };

  // All outlive this. `what` is written, and of `name`, if it has one: for messages.
  LaneSink(Channel& channel, shm::LaneWriter& lane, bool with_envelope, Full when_full,
           std::string_view what, std::string_view name = {})
      : channel_(channel),
        lane_(lane),
        with_envelope_(with_envelope),
        when_full_(when_full),
        what_(what),
        name_(name) {}

  // Where the lane is full: waits, as Channel does, or fails; the channel then notes what there was
  // no room for.
  Result<std::span<std::byte>> space(std::uint64_t bytes, bool with_rare_part) override;
  std::uint64_t max_bytes() const override { return lane_.max_bytes(with_envelope_); }
  std::string what() const override {
    const std::string what(what_);
    return name_.empty() ? what : what + " '" + std::string(name_) + "'";
  }

  bool was_full() const { return was_full_; }

 private:
  Channel& channel_;
  shm::LaneWriter& lane_;
  bool with_envelope_;
  Full when_full_;
  std::string_view what_;
  std::string_view name_;
  bool was_full_ = false;
};

// Converts `object` into the sink; what is empty has its place there too.
Result<WrittenReply> write_frame(ReplyWriter& writer, PayloadSink& sink, PyObject* object);

// The head of a frame that belongs to `call`, without its kind; `number` is its call_id.
shm::FrameHead lane_head(const shm::RunningCall& call, std::uint64_t number);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_LANE_SINK_H_
