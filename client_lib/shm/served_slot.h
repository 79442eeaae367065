// What a worker has of one of its slots: the mapping in which it reads requests, the writer of
// replies, and, where calls need them, lanes and a mapping of the reply area that handlers view.
//
// Part of a WorkerSeat, and used by one thread at a time as that is.

#ifndef SLOTRING_CLIENT_LIB_SHM_SERVED_SLOT_H_
#define SLOTRING_CLIENT_LIB_SHM_SERVED_SLOT_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "client_lib/shm/attachment.h"
#include "client_lib/shm/call_lanes.h"
#include "client_lib/shm/data_memory.h"
#include "client_lib/shm/frame.h"

namespace slotring::shm {

class ServedSlot {
 public:
  // The memories of `joined` outlive it. Errors: those of DataMemory::map_area().
  static Result<ServedSlot> map(const Attachment& joined, SlotIndex slot);

  const std::byte* request_area() const { return request_area_.data(); }
  FrameWriter& writer() { return writer_; }

  // The request of the call with this generation; valid until the next one is read. Errors: as
  // FrameReader::read().
  Result<Frame> read_request(std::uint32_t generation) {
    reader_.begin();
    return reader_.read(request_area_.data(), generation);
  }
  // Whether that reached behind the part of the area that is kept.
  bool read_behind_kept() const { return reader_.read_behind_kept(); }

  // The lanes of a call whose caller attends to some; REQUIRES: they were begun. From the first
  // begin_lanes() on, this stays where it is. 0 bytes of window: the caller wished for none.
  CallLanes& lanes() { return *lanes_; }
  void begin_lanes(std::uint32_t generation, std::uint64_t wished_window_bytes);

  // As WorkerSeat's.
  Result<Mapping> give_request_area();
  Result<std::byte*> reply_area_to_view();
  Mapping give_reply_area();

 private:
  ServedSlot(const Attachment& joined, SlotIndex slot, Mapping request_area)
      : requests_(joined.requests.get()),
        replies_(joined.replies.get()),
        slot_(slot),
        request_area_(std::move(request_area)),
        writer_(*replies_, slot),
        reader_(*requests_) {}

  const DataMemory* requests_;
  const DataMemory* replies_;
  SlotIndex slot_;
  Mapping request_area_;
  Mapping viewed_reply_area_;  // none until a reply is viewed
  FrameWriter writer_;
  FrameReader reader_;
  std::unique_ptr<CallLanes> lanes_;  // from its first call with lanes
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SERVED_SLOT_H_
