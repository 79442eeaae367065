#include "client_lib/shm/lane.h"

#include <cassert>
#include <cstring>
#include <string>

namespace slotring::shm {

using layout::AreaHeader;
using layout::LaneCount;
using layout::LaneFlags;

namespace {

std::size_t index_of(Lane lane) { return static_cast<std::size_t>(lane); }

// Small frames go round in the first part of the window, which then stays in the caches.
constexpr std::uint64_t kShortRoundBytes = 32 * 1024;

}  // namespace

void LaneWriter::begin(const std::byte* peer_area, std::uint32_t generation,
                       std::uint64_t window_bytes) {
  peer_ = reinterpret_cast<const AreaHeader*>(peer_area);
  generation_ = generation;
  produced_ = consumed_ = 0;
  window_offset_ = 0;
  // Frames begin at multiples of 64, and one that fits must find a place.
  window_bytes_ = window_bytes / layout::kCacheLineBytes * layout::kCacheLineBytes;
  next_ = 0;
  header().produced[index_of(lane_)].store(LaneCount{generation, 0}.pack(),
                                           std::memory_order_relaxed);
}

std::uint32_t LaneWriter::unread() {
  // Acquire: partner of the reader's release, after which it looks at those frames no more.
  const std::uint64_t word = peer_->consumed[index_of(lane_)].load(std::memory_order_acquire);
  const std::uint32_t consumed = LaneCount::unpack(word).in(generation_);
  // Anything else is no count that this reader can have: it is as if it had released nothing.
  if (consumed - consumed_ <= produced_ - consumed_) consumed_ = consumed;
  return produced_ - consumed_;
}

std::uint64_t LaneWriter::find_place(std::uint64_t bytes) const {
  const std::uint64_t need = layout::align_up(std::max<std::uint64_t>(bytes, 1), 64);
  if (produced_ == consumed_) return need <= window_bytes_ ? 0 : kNowhere;
  const std::uint64_t oldest = begins_[consumed_ % entries()];
  // Never up to the oldest frame itself: `next_` at its begin would look like an empty window.
  if (next_ < oldest) return next_ + need < oldest ? next_ : kNowhere;
  if (next_ >= kShortRoundBytes && need < oldest) return 0;
  if (next_ + need <= window_bytes_) return next_;
  return need < oldest ? 0 : kNowhere;
}

bool LaneWriter::find_room(std::uint64_t bytes) {
  if (produced_ - consumed_ == entries()) return false;
  place_ = find_place(bytes);
  return place_ != kNowhere;
}

bool LaneWriter::has_room(std::uint64_t bytes, bool with_envelope) {
  with_envelope_ = with_envelope;
  if (bytes > max_bytes(with_envelope)) return true;  // space() says that it never fits
  return find_room_at_last(bytes + (with_envelope ? layout::kMaxEnvelopeBytes : 0));
}

// The reader's line is looked at only when there seems to be none.
bool LaneWriter::find_room_at_last(std::uint64_t bytes) {
  if (find_room(bytes)) return true;
  unread();
  return find_room(bytes);
}

bool LaneWriter::try_write(wire::PayloadKind payload, std::span<const std::byte> bytes) {
  if (window_offset_ == 0 || bytes.size() > window_bytes_) return false;
  if (!find_room_at_last(bytes.size())) return false;
  const std::uint64_t at = window_offset_ + place_;
  if (!area_->is_backed(at + bytes.size())) return false;
  if (!bytes.empty()) std::memcpy(area_->area() + at, bytes.data(), bytes.size());
  publish(bytes.size(), place_ + bytes.size(), 0, 0,
          {static_cast<std::uint8_t>(payload), LaneFrameKind::kItem});
  return true;
}

Result<std::span<std::byte>> LaneWriter::space(std::uint64_t bytes, bool with_envelope) {
  if (bytes > max_bytes(with_envelope)) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "a frame of " + std::to_string(bytes) +
                     " bytes does not fit into the stream's window, which takes " +
                     std::to_string(max_bytes(with_envelope))};
  }
  assert(with_envelope == with_envelope_);
  if (window_offset_ == 0) {
    const Result<std::uint64_t> opened = area_->open_window(window_bytes_);
    if (!opened) return opened.error();
    window_offset_ = *opened;
  }
  const std::uint64_t need = bytes + (with_envelope ? layout::kMaxEnvelopeBytes : 0);
  const std::uint64_t at = window_offset_ + place_;
  if (Status backed = area_->back_with_memory(at + need); !backed) return std::move(backed).error();
  return std::span(area_->area() + at, static_cast<std::size_t>(bytes));
}

Status LaneWriter::commit(LaneFrameKind kind, const FrameHead& head, std::uint64_t bytes,
                          const RareHead& rare) {
  const std::uint64_t at = window_offset_ + place_;
  std::uint64_t end = place_ + bytes;
  std::uint64_t envelope_offset = 0;
  std::size_t envelope_bytes = 0;
  if (with_envelope_) {
    const Result<EnvelopeImage> envelope = EnvelopeImage::build(head, rare);
    if (!envelope) return envelope.error();
    envelope_offset = layout::align_up(at + bytes, layout::kEnvelopeUnitBytes);
    envelope_bytes = envelope->bytes().size();
    std::memcpy(area_->area() + envelope_offset, envelope->bytes().data(), envelope_bytes);
    end = envelope_offset - window_offset_ + envelope_bytes;
  }
  publish(bytes, end, envelope_offset, envelope_bytes,
          {static_cast<std::uint8_t>(head.kind), kind});
  return Done{};
}

void LaneWriter::publish(std::uint64_t payload_bytes, std::uint64_t end,
                         std::uint64_t envelope_offset, std::size_t envelope_bytes,
                         LaneFlags flags) {
  describe(header().descriptor(lane_, produced_), {window_offset_ + place_, payload_bytes},
           envelope_offset, envelope_bytes, flags.pack());
  begins_[produced_ % entries()] = place_;
  next_ = layout::align_up(std::max(end, place_ + 1), 64);
  ++produced_;
  // seq_cst: publishes the frame to the reader's acquire in ready(); and the writer looks next
  // whether the reader sleeps, which has announced that before it looked here.
  header().produced[index_of(lane_)].store(LaneCount{generation_, produced_}.pack(),
                                           std::memory_order_seq_cst);
}

void LaneReader::begin(const std::byte* peer_area, std::byte* own_area, std::uint32_t generation) {
  peer_area_ = peer_area;
  own_ = reinterpret_cast<AreaHeader*>(own_area);
  generation_ = generation;
  consumed_ = released_ = known_ = 0;
  reader_.begin();
  own_->consumed[index_of(lane_)].store(LaneCount{generation, 0}.pack(), std::memory_order_relaxed);
}

std::uint32_t LaneReader::produced() const {
  const auto* peer = reinterpret_cast<const AreaHeader*>(peer_area_);
  // seq_cst, with it acquire: partner of the store in commit().
  const std::uint64_t word = peer->produced[index_of(lane_)].load(std::memory_order_seq_cst);
  return LaneCount::unpack(word).in(generation_);
}

bool LaneReader::ready() const { return produced() != consumed_; }

std::optional<LaneReader::PlainItem> LaneReader::try_next_item() {
  if (known_ == consumed_) {
    const std::uint32_t there = produced();
    if (!possible(there - consumed_)) return std::nullopt;
    known_ = there;
  }
  const auto& descriptor =
      reinterpret_cast<const AreaHeader*>(peer_area_)->descriptor(lane_, consumed_);
  const LaneFlags flags = LaneFlags::unpack(descriptor.flags.load(std::memory_order_relaxed));
  if (flags.frame_kind != LaneFrameKind::kItem ||
      flags.payload_kind > static_cast<std::uint8_t>(wire::PayloadKind::Value)) {
    return std::nullopt;
  }
  const std::optional<std::span<const std::byte>> payload =
      reader_.try_read_plain(peer_area_, descriptor);
  if (!payload) return std::nullopt;
  ++consumed_;
  return PlainItem{static_cast<wire::PayloadKind>(flags.payload_kind), *payload};
}

Result<LaneFrame> LaneReader::next() {
  const std::uint32_t there = produced();
  if (!possible(there - consumed_)) {
    return Error{ErrorCode::kBadFrame, "a lane's count is none that its writer can have"};
  }
  known_ = there;
  const auto& descriptor =
      reinterpret_cast<const AreaHeader*>(peer_area_)->descriptor(lane_, consumed_);
  const LaneFlags flags = LaneFlags::unpack(descriptor.flags.load(std::memory_order_relaxed));
  Result<Frame> frame =
      reader_.read(peer_area_, descriptor, generation_, /*envelope_may_be_absent=*/true);
  if (!frame) return std::move(frame).error();
  if (static_cast<std::uint8_t>(flags.frame_kind) >= layout::kLaneFrameKinds) {
    return Error{ErrorCode::kBadFrame, "a lane's frame is of an unknown kind"};
  }
  if (frame->head.generation == 0 && frame->rare == nullptr) {
    frame->head.generation = generation_;
    frame->head.kind = static_cast<wire::PayloadKind>(flags.payload_kind);
  }
  if (frame->head.kind > wire::PayloadKind::MAX) {
    return Error{ErrorCode::kBadFrame, "a lane's frame has a payload of an unknown kind"};
  }
  ++consumed_;
  return LaneFrame{flags.frame_kind, *frame};
}

void LaneReader::release() {
  if (!holds()) return;
  released_ = consumed_;
  // seq_cst: as in LaneWriter::commit(), for a writer that waits for room.
  own_->consumed[index_of(lane_)].store(LaneCount{generation_, consumed_}.pack(),
                                        std::memory_order_seq_cst);
}

}  // namespace slotring::shm
