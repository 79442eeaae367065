// One slot, leased for one call: the in-place path under Client::call().
//
//     Result<Lease> lease = client.claim();
//     std::span<std::byte> space = lease->request(n).value();   // write the request there
//     lease->submit("resize", PayloadKind::kBytes, n).value();
//     ReplyView reply = lease->wait().value();                  // read the reply in place
//     lease->release();                                         // or let the lease go out of scope
//
// Tensors in place:
//
//     MutableTensor image = lease->empty<float>({h, w, 3}, "image").value();   // write it there
//     lease->submit("resize").value();
//     Tensor small = lease->wait().value().tensor().value();
//
// Guarantee: from claim to release the slot is this lease's alone, whatever other processes do or
// die. A reply that a lease returns is the reply to its own request; a call that ended otherwise
// (deadline, dead worker) returns its error, once, and the lease is void from then on.
//
// One thread at a time. The Client outlives its leases.

#ifndef SLOTRING_LEASE_H_
#define SLOTRING_LEASE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>
#include <vector>

#include "slotring/payload.h"
#include "slotring/result.h"
#include "slotring/retry.h"
#include "slotring/tensor.h"

namespace slotring {

class Reply;

namespace internal {
class ClientCore;
}

// No deadline at all.
inline constexpr std::chrono::nanoseconds kNoTimeout = std::chrono::nanoseconds::max();
inline constexpr std::chrono::nanoseconds kDefaultTimeout = std::chrono::seconds(30);

// What a call of a session does when the session's worker is busy with another call.
enum class SessionMode : std::uint8_t {
  kPoolDefault = 0,  // what the pool's configuration says (session_mode)
  // Goes to another worker; but where state is kept in the worker, and there is some, waits for it.
  kHint = 1,
  kQueue = 2,  // waits for the one
  kFail = 3,   // ends with SESSION_BUSY at once
};

struct CallOptions {
  // From claim to reply, waiting for a free slot included; it becomes an absolute deadline that
  // travels with the call.
  std::chrono::nanoseconds timeout = kDefaultTimeout;
  // A stop that any thread requests cancels the call: it ends with CANCELLED at once, whether it
  // waits for a slot or for its reply. A handler that runs is told (see slotring.Context and
  // coroutines in the Python package), and holds the slot until it ends. A reply that is there
  // already is returned all the same. One token for several calls cancels them all.
  std::stop_token stop = {};
  // The session that the call belongs to (session.h), 1 to 63 bytes; empty for none. The text is
  // needed until the call has a slot.
  std::string_view session = {};
  SessionMode session_mode = SessionMode::kPoolDefault;
  // Says that to run the call twice does no harm. Without it nothing is ever sent again that a
  // worker may have started.
  bool idempotent = false;
  // Sends an idempotent call again that failed (retry.h). Client::call() only.
  std::optional<RetryOptions> retry = {};
};

// All that it views is in the slot, and valid until the lease is released.
struct ReplyView {
  PayloadKind kind = PayloadKind::kEmpty;
  std::span<const std::byte> bytes = {};
  std::span<const Tensor> tensors = {};  // of kind kTensors; all named, or none
  std::uint64_t value_bytes = 0;         // of the value beside them, with which `bytes` begins
  std::string_view table_type = {};      // of kind kTable: its type's fully qualified name

  // `bytes` as characters, whatever the kind; valid as long.
  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  // The reply's only tensor. Errors: INVALID_ARGUMENT when it has none, or several.
  Result<Tensor> tensor() const;
  // The one of this name. Errors: INVALID_ARGUMENT, which says what names there are.
  Result<Tensor> tensor(std::string_view name) const;
  // A private, verified copy of a kValue reply, or of the values beside named tensors, to be read
  // by flexbuffers::GetRoot(). Errors: BAD_FRAME when it does not verify, INVALID_ARGUMENT when
  // there is none.
  Result<std::vector<std::uint8_t>> value() const;
};

class [[nodiscard]] Lease {
 public:
  Lease(Lease&& other) noexcept { *this = std::move(other); }
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { release(); }

  // Space for a request of `bytes`, 64-byte aligned, writable until submit().
  // Errors: PAYLOAD_TOO_LARGE, OUT_OF_MEMORY; INVALID_ARGUMENT when something was submitted
  // already.
  Result<std::span<std::byte>> request(std::size_t bytes);

  // Sends the first `bytes` of request() to `method`; of a kTable with the name of its type.
  // Errors: WORKER_UNAVAILABLE (retryable: the worker left for good, nothing ran; the lease is
  // void), PAYLOAD_TOO_LARGE (`bytes` is more than was requested), INVALID_ARGUMENT.
  Status submit(std::string_view method, PayloadKind kind, std::size_t bytes,
                std::string_view table_type = {});

  // Space in the request for a tensor of T's, writable until submit(), its elements as they happen
  // to be. May be asked for several times; what request() granted is void then, and the reverse.
  // Errors: INVALID_ARGUMENT (the shape), PAYLOAD_TOO_LARGE, OUT_OF_MEMORY; nothing has changed
  // then.
  template <class T>
  Result<MutableTensor> empty(const Shape& shape, std::string_view name = {}) {
    return empty(dtype_of<T>(), shape, name);
  }
  Result<MutableTensor> empty(DType dtype, const Shape& shape, std::string_view name = {});
  // Copies a finished FlexBuffers map, which goes beside named tensors. Before the first empty().
  // Errors: as empty().
  Status put_value(std::span<const std::uint8_t> value);
  // Sends the tensors of empty(). Errors: as the other submit(); INVALID_ARGUMENT when there are
  // none, or not all are named differently where one is, or a value is there.
  Status submit(std::string_view method);

  // Waits for the reply. Errors: the handler's own; DEADLINE_EXCEEDED and CANCELLED (by the options
  // that the lease was claimed with; retryable when no worker had started the call), WORKER_LOST,
  // BAD_FRAME. After an error the lease is void.
  Result<ReplyView> wait();

  // Gives the slot back. A call that a worker runs is abandoned: its slot comes back when the
  // handler ends.
  void release();

  // Whether the slot is still held.
  bool held() const { return core_ != nullptr; }

 private:
  friend class internal::ClientCore;
  friend class Reply;

  Lease() = default;

  enum class Phase : std::uint8_t { kClaimed, kSubmitted, kReplied };

  internal::ClientCore* core_ = nullptr;
  std::uint32_t slot_ = 0;
  std::uint32_t generation_ = 0;
  std::uint64_t deadline_ns_ = 0;
  std::uint64_t granted_bytes_ = 0;
  std::uint8_t flags_ = 0;         // of the slot word, as last seen
  std::uint8_t submit_flags_ = 0;  // to be set in it by submit()
  Phase phase_ = Phase::kClaimed;
  std::stop_token stop_;
};

}  // namespace slotring

#endif  // SLOTRING_LEASE_H_
