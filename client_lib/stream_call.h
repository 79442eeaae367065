// The call of a Stream: its two ends (stream.h says which thread may use which).
//
// The reading end owns the lease, and alone ends the call. Before it does, it closes the writing
// end: else an item could be written into a slot that is another call's already. One word guards
// that, two uncontended atomic operations a write; nobody waits for anybody but at the end.
//
// Items that were read are released in batches: one store, and one look whether the worker waits,
// for a quarter of the ring or of the window, and before a sleep.

#ifndef SLOTRING_CLIENT_LIB_STREAM_CALL_H_
#define SLOTRING_CLIENT_LIB_STREAM_CALL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "client_lib/client_core.h"
#include "slotring/stream.h"

namespace slotring::internal {

class StreamCall {
 public:
  // `lease` is submitted, and attends to a stream.
  StreamCall(ClientCore& core, Lease lease, bool writes);
  ~StreamCall();
  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  // The reading end.
  Result<std::optional<ReplyView>> next();
  Status status() const;
  // The lease goes with the reply.
  Result<std::pair<Lease, ReplyView>> finish();
  void cancel();

  // The writing end.
  Status write(Payload item);
  Result<std::span<std::byte>> space(std::size_t bytes);
  Status commit(PayloadKind kind, std::size_t bytes);
  Status finish_writing();

 private:
  using WaitEnd = ClientCore::WaitEnd;
  // Who has the writing end. kClosing: a writer is at it, and the reading end waits to close it.
  enum Writing : std::uint32_t { kIdle, kWriting, kClosing, kClosed };

  // So many frames are released together, and after so many written ones the writer looks around.
  static constexpr std::uint32_t kBatchFrames = layout::kStreamEntries / 4;

  void release_read();
  void count_read(std::uint64_t bytes);
  bool batch_is_read() const;
  std::optional<ReplyView> try_take_plain();
  // The item that is there; nothing when that was the end of them.
  Result<std::optional<ReplyView>> take();
  void fall_behind();
  // Waits for an item, answering tools; kReady when there is one.
  WaitEnd await_item();
  // Ends the call by its reply, or by what ended the wait for it. The outcome is kept.
  Result<std::optional<ReplyView>> conclude(WaitEnd end);
  Result<std::optional<ReplyView>> end_with(Error error);
  void end_early(Error error, ErrorCategory counted_as);

  Status begin_write();
  void end_write();
  void close_writing();
  // Between begin_write() and end_write(), all of these.
  Status await_room(std::uint64_t bytes, bool with_envelope);  // answering tools
  Error write_error(WaitEnd end) const;
  Result<std::span<std::byte>> give_space(std::size_t bytes, bool with_envelope = false);
  Status send(layout::LaneFrameKind kind, wire::PayloadKind payload, std::size_t bytes,
              const shm::RareHead& rare = {});

  ClientCore* core_;
  Lease lease_;
  shm::CallLanes* lanes_;
  ToolDesk* desk_;  // null: the client has no tools
  std::uint64_t batch_bytes_;

  // Of the reading end.
  std::uint32_t unreleased_frames_ = 0;
  std::uint64_t unreleased_bytes_ = 0;
  bool items_ended_ = false;
  std::vector<Tensor> item_tensors_;  // of the item that next() returned
  std::optional<Result<ReplyView>> outcome_;
  bool finished_ = false;
  shm::AdaptiveWait reading_;
  // Before it waits: whether a moment's lag brings at least so many frames is learned.
  static constexpr std::uint32_t kWorthLagging = 4;
  shm::LearnedTries lag_;
  std::uint32_t frames_since_wait_ = 0;
  bool lagged_ = false;

  // Of the writing end.
  alignas(64) std::atomic<std::uint32_t> writing_;
  // The thread that was given space and has not committed it; it has the writing end meanwhile.
  std::atomic<const void*> space_holder_{nullptr};
  std::size_t given_bytes_ = 0;
  std::uint32_t writes_ = 0;
  bool writing_finished_ = false;
  shm::AdaptiveWait waiting_for_room_;
};

inline constexpr auto kReadsStream = static_cast<std::uint8_t>(wire::FrameFlags::ReadsStream);
inline constexpr auto kWritesStream = static_cast<std::uint8_t>(wire::FrameFlags::WritesStream);

// Claims a slot and sends the call; `flags` of those two. Errors, counted: as Client::stream().
Result<std::unique_ptr<StreamCall>> open_stream(ClientCore& core, std::string_view method,
                                                Payload payload, const StreamOptions& options,
                                                std::uint8_t flags);

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_STREAM_CALL_H_
