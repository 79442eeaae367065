// The two ends of one lane of a running call (schemas/area_layout.h): frames that travel while the
// slot is RUNNING.
//
//     writer: if (lane.has_room(n)) { space = lane.space(n); ...; lane.commit(kItem, head, n); }
//     reader: if (lane.ready()) { frame = lane.next(); ...; lane.release(); }
//
// Neither end blocks, and neither wakes anybody: after a commit or a release, the client calls
// ClientCore::tell_worker(), the worker WorkerSeat::tell_caller().
//
// Guarantee: frames arrive whole, once and in order, of this call only (the counts carry its
// generation), whatever dies where; a writer never overwrites a frame that its reader has not
// released. A reader trusts nothing: a peer that breaks the rules gets BAD_FRAME, or makes its own
// call wait.
//
// One thread at a time an end.

#ifndef SLOTRING_CLIENT_LIB_SHM_LANE_H_
#define SLOTRING_CLIENT_LIB_SHM_LANE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "client_lib/shm/frame.h"
#include "schemas/area_layout.h"

namespace slotring::shm {

using layout::Lane;
using layout::LaneFrameKind;

inline constexpr std::uint64_t kDefaultWindowBytes = std::uint64_t{1} << 20;
// A frame of a few bytes, and an envelope of the largest size.
inline constexpr std::uint64_t kMinWindowBytes = 2 * layout::kMaxEnvelopeBytes;

class LaneWriter {
 public:
  // `area` is the writer's own, and outlives this.
  LaneWriter(FrameWriter& area, Lane lane) : area_(&area), lane_(lane) {}

  // A new call: before its peer may look at the lane. `peer_area` is the area that the reader
  // writes. The window is opened with the first frame.
  void begin(const std::byte* peer_area, std::uint32_t generation,
             std::uint64_t window_bytes = kDefaultWindowBytes);

  // Whether a frame of `bytes` can be written now; false: once the reader has released some. A
  // frame that carries anything rare needs room for an envelope.
  bool has_room(std::uint64_t bytes, bool with_envelope = false);
  // Errors: PAYLOAD_TOO_LARGE (never fits into the window), OUT_OF_MEMORY. REQUIRES: has_room().
  Result<std::span<std::byte>> space(std::uint64_t bytes, bool with_envelope = false);
  // Publishes `bytes` of what space() gave. `head` and `rare` matter only when `rare` is not empty
  // or `with_envelope` was asked for. Errors: PAYLOAD_TOO_LARGE (the envelope).
  Status commit(LaneFrameKind kind, const FrameHead& head, std::uint64_t bytes,
                const RareHead& rare = {});

  // The same three in one, for what is usual: an item without an envelope, which has room, in
  // memory that is there. False: nothing has changed, and those three do it, or say why not.
  // `payload` of those kinds that need no envelope.
  bool try_write(wire::PayloadKind payload, std::span<const std::byte> bytes);

  // The most bytes that a frame may have.
  std::uint64_t max_bytes(bool with_envelope = false) const {
    return window_bytes_ - (with_envelope ? layout::kMaxEnvelopeBytes : 0);
  }
  // How many frames its reader has not released yet, as far as known.
  std::uint32_t unread();

 private:
  // Where in the window `bytes` can stand now; kNowhere for nowhere.
  std::uint64_t find_place(std::uint64_t bytes) const;
  bool find_room(std::uint64_t bytes);
  bool find_room_at_last(std::uint64_t bytes);
  // Publishes what stands at `place_` up to `end` of the window.
  void publish(std::uint64_t payload_bytes, std::uint64_t end, std::uint64_t envelope_offset,
               std::size_t envelope_bytes, layout::LaneFlags flags);
  std::uint32_t entries() const { return layout::lane_entries(lane_); }
  layout::AreaHeader& header() const {
    return *reinterpret_cast<layout::AreaHeader*>(area_->area());
  }

  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

  FrameWriter* area_;
  Lane lane_;
  const layout::AreaHeader* peer_ = nullptr;
  std::uint32_t generation_ = 0;
  std::uint32_t produced_ = 0;
  std::uint32_t consumed_ = 0;       // as last seen
  std::uint64_t window_offset_ = 0;  // in the area; 0: not opened
  std::uint64_t window_bytes_ = kDefaultWindowBytes;
  std::uint64_t next_ = 0;   // where in the window the next frame may begin
  std::uint64_t place_ = 0;  // of the frame that is being written
  bool with_envelope_ = false;
  std::array<std::uint64_t, layout::kStreamEntries> begins_{};  // of frames in the window
};

struct LaneFrame {
  LaneFrameKind kind;
  Frame frame;  // valid until release(), its rare part until the next next()
};

class LaneReader {
 public:
  // Of the peer's area, in this memory, which outlives this.
  LaneReader(const DataMemory& memory, Lane lane) : lane_(lane), reader_(memory) {}

  // A new call. `peer_area` is read, `own_area` takes the count of what was consumed.
  void begin(const std::byte* peer_area, std::byte* own_area, std::uint32_t generation);

  // From now on the peer's area is read in another mapping.
  void forget_mapping() { reader_.forget_mapping(); }

  // Whether next() has a frame.
  bool ready() const;
  // The next frame, if it is what is usual: an item without an envelope, in memory that is there.
  // Nothing: nothing has changed, and ready() and next() say what there is.
  struct PlainItem {
    wire::PayloadKind kind;
    std::span<const std::byte> payload;  // valid until release()
  };
  std::optional<PlainItem> try_next_item();
  // The next frame, in place. Errors: BAD_FRAME, OUT_OF_MEMORY; the lane is of no use then.
  // REQUIRES: ready().
  Result<LaneFrame> next();
  // Gives the room of all frames that next() returned back to the writer.
  void release();
  // Whether release() would give something back.
  bool holds() const { return released_ != consumed_; }

 private:
  std::uint32_t produced() const;
  // Whether a writer can have made as many frames: it goes neither back nor further than what was
  // released allows.
  bool possible(std::uint32_t there) const {
    return there != 0 && there <= layout::lane_entries(lane_) - (consumed_ - released_);
  }

  Lane lane_;
  FrameReader reader_;
  const std::byte* peer_area_ = nullptr;
  layout::AreaHeader* own_ = nullptr;
  std::uint32_t generation_ = 0;
  std::uint32_t consumed_ = 0;
  std::uint32_t released_ = 0;
  // What was produced, as last seen and found possible: until then try_next_item() leaves the
  // writer's line alone.
  std::uint32_t known_ = 0;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_LANE_H_
