// A call that carries a stream: items that its handler yields, items that are sent to it, or both.
//
//     auto stream = client.stream("tokens", prompt).value();   // Python: a handler that yields
//     for (const ReplyView& item : stream) show(item.bytes);   // in place, until the next one
//     if (!stream.status()) complain(stream.status().error()); // after the items that came
//     auto last = stream.finish();                             // what the generator returned
//
//     auto stream = client.stream("average", "").value();      // Python: reads ctx.incoming
//     for (auto& row : rows) stream.write(row).value();        // waits while the window is full
//     stream.finish_writing().value();
//     auto average = stream.finish().value();
//
// Guarantees: items arrive whole, once and in order. An error, also the death of the worker, comes
// after the items that came. Memory is bounded by the window, each way: who writes waits for who
// reads. A stream holds a slot, as a call does, until it or the Reply of finish() is gone. A plain
// handler's call is a stream without items; a handler that yields needs a caller that streams.
//
// The deadline is that of the whole call; for a stream without an end say kNoTimeout. A stop token
// ends it at once. A stream that goes out of scope before its end, or is cancelled, abandons its
// call: the worker's generator is closed.
//
// Threads: the reading end (next, begin and end, status, finish, cancel) and the writing end
// (write, space, commit, finish_writing) are independent: one thread may use the one while another
// uses the other. Each end is for one thread at a time. When the reading end has the call's
// outcome, or cancels, the writing end is closed, a write() that waits is woken, and cancel() waits
// for one that copies; what another thread writes later ends with an error and touches nothing.
// Only moving and destroying need the object alone.
//
// One thread that uses both ends must not wait at the one for what it has yet to do at the other: a
// handler that reads to the end of its input before it returns is given that end by
// finish_writing(), which has to come before finish().

#ifndef SLOTRING_STREAM_H_
#define SLOTRING_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <span>

#include "slotring/lease.h"
#include "slotring/payload.h"
#include "slotring/result.h"

namespace slotring {

class Client;
class Reply;

namespace internal {
class StreamCall;
}

struct StreamOptions {
  CallOptions call = {};  // `idempotent` and `retry` do nothing here: items were seen already
  // How many bytes of items may be under way, each way. From 32 KiB to a quarter of the slot; what
  // lies outside is taken as the nearest. An item that is larger does not fit.
  std::uint64_t window_bytes = std::uint64_t{1} << 20;
};

class [[nodiscard]] Stream {
 public:
  class Iterator;

  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  // The next item, in place: valid until the next call of this, of finish() or of cancel(). Nothing
  // after the last. Errors: how the call ended, as Client::call() says, and then again each time.
  Result<std::optional<ReplyView>> next();

  // The items as an input range; an error ends it, and status() has it.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }
  // How it has ended, as far as next() knows; success before the end.
  Status status() const;

  // The outcome of the call, once: what the generator returned, or a plain handler's reply. Items
  // that were not read are skipped. Errors: as next(); INVALID_ARGUMENT the second time.
  Result<Reply> finish();

  // Ends the call, whatever it does. Later calls get CANCELLED.
  void cancel();

  // Sends an item to the handler; waits while the window is full.
  // Errors: PAYLOAD_TOO_LARGE (never fits into the window; nothing was sent), OUT_OF_MEMORY,
  // DEADLINE_EXCEEDED, CANCELLED (a stop, or the call has ended: finish() says how), BAD_FRAME,
  // WORKER_LOST, INVALID_ARGUMENT (after finish_writing()).
  Status write(Payload item);
  // The same in place: space for `bytes`, 64-byte aligned, that only this writes until commit()
  // sends its first `bytes`. Errors: as write().
  Result<std::span<std::byte>> space(std::size_t bytes);
  Status commit(PayloadKind kind, std::size_t bytes);
  // Tells the handler that no item follows. Errors: as write().
  Status finish_writing();

 private:
  friend class Client;
  friend class Session;
  explicit Stream(std::unique_ptr<internal::StreamCall> call);

  std::unique_ptr<internal::StreamCall> call_;
};

// A single-pass iterator: ++ makes what * gave before invalid.
class Stream::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = ReplyView;
  using difference_type = std::ptrdiff_t;

  const ReplyView& operator*() const { return *item_; }
  const ReplyView* operator->() const { return &*item_; }
  Iterator& operator++() {
    advance();
    return *this;
  }
  void operator++(int) { advance(); }
  bool operator==(std::default_sentinel_t) const { return !item_; }

 private:
  friend class Stream;
  explicit Iterator(Stream* stream) : stream_(stream) { advance(); }
  void advance();

  Stream* stream_;
  std::optional<ReplyView> item_;
};

// Is told each item of a stream, in place while it runs; false stops the stream.
using OnItem = std::function<bool(const ReplyView&)>;

}  // namespace slotring

#endif  // SLOTRING_STREAM_H_
