// The items of a call's stream, either way.

#include <utility>

#include "python_side/native/bytes.h"
#include "python_side/native/channel.h"
#include "python_side/native/lane_sink.h"
#include "python_side/native/server.h"

namespace slotring::python {

using shm::LaneFrameKind;

namespace {

constexpr char kItemText[] = "an item of the stream";
constexpr char kNoReader[] =
    "the handler streams, and its caller reads no stream: it must use Client::stream()";

}  // namespace

Status Channel::may_send() const {
  if (!attends(wire::FrameFlags::ReadsStream)) return Error{ErrorCode::kStreamRequired, kNoReader};
  if (Status entered = enter(); !entered) return entered;
  if (server_->seat().cancelled(*call_)) return gone();
  return Done{};
}

Status Channel::send_to(PayloadSink& sink, PyObject* item) {
  const Result<WrittenReply> written = write_frame(server_->replies(), sink, item);
  if (!written) return written.error();
  shm::FrameHead head = lane_head(*call_, call_->head.call_id);
  head.kind = written->kind;
  Status sent =
      lanes().stream_out.commit(LaneFrameKind::kItem, head, written->bytes, written->parts());
  if (sent) server_->seat().tell_caller(*call_);
  return sent;
}

// Bytes, as most items are, straight into the lane. False: nothing has changed, and send_to() does
// it, waits for room, or says why not. REQUIRES: may_send().
bool Channel::try_send_bytes(PyObject* item) {
  if (Py_TYPE(item) != &PyBytes_Type) return false;
  if (!lanes().stream_out.try_write(wire::PayloadKind::Bytes, bytes_in(item))) return false;
  server_->seat().tell_caller(*call_);
  return true;
}

Status Channel::send(PyObject* item) {
  if (Status may = may_send(); !may) return may;
  if (try_send_bytes(item)) return Done{};
  LaneSink sink(*this, lanes().stream_out, /*with_envelope=*/false, LaneSink::Full::kWaits,
                kItemText);
  return send_to(sink, item);
}

Result<bool> Channel::try_send(PyObject* item) {
  if (Status may = may_send(); !may) return std::move(may).error();
  if (try_send_bytes(item)) return true;
  LaneSink sink(*this, lanes().stream_out, /*with_envelope=*/false, LaneSink::Full::kFails,
                kItemText);
  Status sent = send_to(sink, item);
  if (sent) return true;
  if (sink.was_full()) return false;
  return std::move(sent).error();
}

Result<std::optional<Ref>> Channel::receive() {
  if (incoming_ended_ || !attends(wire::FrameFlags::WritesStream)) return std::optional<Ref>();
  if (Status entered = enter(); !entered) return std::move(entered).error();
  shm::LaneReader& lane = lanes().stream_in;
  if (!lane.ready()) {
    Status ready = await([&] { return lane.ready(); });
    if (!ready) return std::move(ready).error();
  }
  const Result<shm::LaneFrame> frame = lane.next();
  std::optional<Result<Ref>> item;
  if (!frame || frame->kind != LaneFrameKind::kItem) {
    incoming_ended_ = true;
  } else {
    item = take(frame->frame);
  }
  lane.release();
  server_->seat().tell_caller(*call_);
  if (!frame) return frame.error();
  if (!item) return std::optional<Ref>();
  if (!*item) return item->error();
  return std::optional<Ref>(*std::move(*item));
}

}  // namespace slotring::python
