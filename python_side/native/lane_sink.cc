#include "python_side/native/lane_sink.h"

#include <utility>

namespace slotring::python {

Result<std::span<std::byte>> LaneSink::space(std::uint64_t bytes, bool with_rare_part) {
  const bool with_envelope = with_envelope_ || with_rare_part;
  if (!lane_.has_room(bytes, with_envelope)) {
    if (when_full_ == Full::kFails) {
      channel_.room_bytes_ = bytes;
      channel_.room_with_envelope_ = with_envelope;
      was_full_ = true;
      return Error{ErrorCode::kInternal, "no room in the lane"};
    }
    Status room = channel_.await([&] { return lane_.has_room(bytes, with_envelope); });
    if (!room) return std::move(room).error();
  }
  return lane_.space(bytes, with_envelope);
}

Result<WrittenReply> write_frame(ReplyWriter& writer, PayloadSink& sink, PyObject* object) {
  Result<WrittenReply> written = writer.write(sink, object);
  if (written && written->kind == wire::PayloadKind::Empty) {
    Result<std::span<std::byte>> space = sink.space(0, /*with_rare_part=*/false);
    if (!space) return std::move(space).error();
  }
  return written;
}

shm::FrameHead lane_head(const shm::RunningCall& call, std::uint64_t number) {
  shm::FrameHead head;
  head.call_id = number;
  head.generation = call.word.generation;
  return head;
}

}  // namespace slotring::python
