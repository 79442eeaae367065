// A C++ program's end of a pool of Python workers.
//
//     #include <slotring/client.h>
//
//     auto client = slotring::Client::attach("digits").value();
//     auto reply = client.call("classify", pixels);             // Result<Reply>
//     if (!reply) return complain(reply.error());
//     use(reply->bytes());                                      // in place, until `reply` goes
//
// Guarantees: claiming is lock-free and shared by no lock with any other process; the supervisor is
// not on the path of a call, and calls go on while it is down. Every call ends in exactly one way:
// its reply, or one Error.
//
// Thread-safe: any thread may call through one Client at the same time. A child made by fork() gets
// FORKED from everything, disturbs nothing, and attaches for itself.

#ifndef SLOTRING_CLIENT_H_
#define SLOTRING_CLIENT_H_

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "slotring/async.h"
#include "slotring/breaker.h"
#include "slotring/broadcast.h"
#include "slotring/health.h"
#include "slotring/lease.h"
#include "slotring/payload.h"
#include "slotring/result.h"
#include "slotring/session.h"
#include "slotring/statistics.h"
#include "slotring/stream.h"
#include "slotring/tools.h"

namespace slotring {

namespace internal {
class AsyncCalls;
}

// How a thread waits for a reply before it sleeps; see docs/configuration.md, `waiting`.
enum class Waiting : std::uint8_t {
  kBalanced = 0,  // spins and yields for as long as that pays, which it learns
  // Spins for ten times as long, whether it pays or not (but on a thread that is bound to one CPU),
  // and takes no turns.
  kLatency = 1,
  kFrugal = 2,  // hardly spins
};

struct AttachOptions {
  std::string name = {};  // shown by `slotring status`; the program's own name when empty
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);  // for the supervisor to answer
  std::optional<BreakerOptions> breaker = {};  // of each method (breaker.h); none by default
  std::optional<Waiting> waiting = {};         // by default, as the pool's configuration says
};

// A reply, in its slot. The slot is given back when the Reply goes out of scope, so keep it
// briefly.
class Reply {
 public:
  Reply(Reply&&) noexcept = default;
  Reply& operator=(Reply&& other) noexcept;
  PayloadKind kind() const { return view_.kind; }
  std::span<const std::byte> bytes() const { return view_.bytes; }
  // bytes() as characters, whatever the kind.
  std::string_view text() const { return view_.text(); }
  // Of a kTable reply, which read_table() of table.h reads: its type's fully qualified name.
  std::string_view table_type() const { return view_.table_type; }
  // Of a kTensors reply, in place; the rest as in ReplyView (lease.h).
  std::span<const Tensor> tensors() const { return view_.tensors; }
  Result<Tensor> tensor() const { return view_.tensor(); }
  Result<Tensor> tensor(std::string_view name) const { return view_.tensor(name); }
  Result<std::vector<std::uint8_t>> value() const { return view_.value(); }

 private:
  friend class Client;
  friend class Stream;
  friend class internal::AsyncCalls;
  Reply(Lease lease, ReplyView view) : lease_(std::move(lease)), view_(view) {}
  // Of a call without a slot of its own.
  explicit Reply(OwnedPayload owned) : owned_(std::move(owned)), view_(owned_.view()) {}
  // The same in memory of its own; the slot is given back. Errors: OUT_OF_MEMORY.
  Result<Reply> copied() &&;

  // Of an asynchronous call: the client that has the slot, or the copy of the bytes. Outlives
  // lease_.
  std::shared_ptr<const void> keeps_;
  Lease lease_;
  OwnedPayload owned_;
  ReplyView view_;
};

class Client {
 public:
  // Joins the pool called `name_or_path`: a name means $XDG_RUNTIME_DIR/slotring/NAME.sock (without
  // that variable /run/user/UID/slotring, else /tmp/slotring-UID); anything with a '/' is the
  // socket's path. Errors: POOL_NOT_FOUND (retryable: no supervisor listens), REFUSED (not allowed
  // in, or no permission), VERSION_MISMATCH, TOO_MANY_CLIENTS, DEADLINE_EXCEEDED, SYSTEM_LIMIT,
  // OUT_OF_MEMORY.
  static Result<Client> attach(std::string_view name_or_path, const AttachOptions& options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // Ends the asynchronous calls that are under way with CANCELLED. REQUIRES: no Lease of this
  // client is left, and no Reply but those of asynchronous calls.
  ~Client();

  // Calls `method` and waits for its reply.
  // Errors: the handler's (HANDLER_RAISED with type and traceback), METHOD_NOT_FOUND,
  // DEADLINE_EXCEEDED, CANCELLED, POOL_SATURATED, POOL_DRAINING, WORKER_LOST, WORKER_UNAVAILABLE,
  // PAYLOAD_TOO_LARGE, OUT_OF_MEMORY, BAD_FRAME, FORKED; with a session, those of Session::call().
  // BROADCAST_ONLY, of a method that is for all workers; CIRCUIT_OPEN, with a breaker.
  Result<Reply> call(std::string_view method, Payload payload, const CallOptions& options = {});

  // Calls `method` and does not wait; see async.h. The payload is needed until this returns.
  // Errors: those of call(), and INVALID_ARGUMENT (with a session or a retry), POOL_SATURATED (too
  // many wait for a slot), SYSTEM_LIMIT (no thread).
  std::future<Result<Reply>> call_async(std::string_view method, Payload payload,
                                        const CallOptions& options = {});
  // The outcome goes to `on_reply`, on the client's waiting thread.
  void call_async(std::string_view method, Payload payload, const CallOptions& options,
                  OnReply on_reply);

  // Claims a slot for the in-place path; see lease.h. Waits in line until one is free.
  // Errors: POOL_SATURATED, DEADLINE_EXCEEDED, CANCELLED, POOL_DRAINING, WORKER_UNAVAILABLE,
  // FORKED; with a session, those of Session::call().
  Result<Lease> claim(const CallOptions& options = {});

  // A call that carries a stream; see stream.h. Returns when the call is sent. Errors: those of
  // claim() and Lease::submit().
  Result<Stream> stream(std::string_view method, Payload payload,
                        const StreamOptions& options = {});
  // The same, telling each item to `on_item` on this thread, and then the call's outcome: what the
  // generator returned, or nothing when `on_item` stopped it. Sends nothing to the handler but
  // `payload`. Errors: as call(), after the items that came.
  Result<Reply> stream(std::string_view method, Payload payload, const OnItem& on_item,
                       const StreamOptions& options = {});

  // Gives the handlers of this client's calls a tool; see tools.h. At any time; calls that were
  // sent before do not have it. Errors: ALREADY_EXISTS, INVALID_ARGUMENT (the name has 1 to 63
  // bytes), FORKED.
  Status add_tool(std::string_view name, Tool tool);

  // A session of the pool; see session.h. Nothing is sent, and no error is possible, before its
  // first call.
  Session session(std::string_view name, const SessionOptions& options = {});
  // The sessions that there are, in no particular order.
  std::vector<SessionInfo> sessions() const;

  // What all clients and workers of the pool have counted; see statistics.h.
  PoolStatistics statistics() const;

  // Has every worker make a call, the present ones and all later ones; see broadcast.h. Workers
  // that fail are in the report. Errors, and nothing was changed: INVALID_ARGUMENT,
  // PAYLOAD_TOO_LARGE (over kMaxBroadcastBytes), SYSTEM_LIMIT (too many keys), POOL_DRAINING,
  // NOT_ATTACHED, FORKED, WORKER_UNAVAILABLE (retryable: the pool has no supervisor now). Or, and
  // it may come to be all the same: DEADLINE_EXCEEDED, WORKER_UNAVAILABLE (not retryable), of a
  // supervisor that did not answer.
  Result<BroadcastReport> broadcast(std::string_view method, Payload payload,
                                    const BroadcastOptions& options = {});
  // Whether every worker answers; see health.h. Errors: FORKED.
  Result<PoolHealth> check_health(std::chrono::nanoseconds timeout = std::chrono::seconds(5));
  // Of a method's circuit breaker; closed where there is none.
  BreakerStatus breaker_state(std::string_view method) const;

  const std::string& pool() const;

 private:
  friend class Session;

  // The same for a session, which has no Client: that may be moved.
  static Result<Lease> claim(internal::ClientCore& core, const CallOptions& options);
  static Result<Reply> call(internal::ClientCore& core, std::string_view method, Payload payload,
                            const CallOptions& options);
  static Result<Reply> call_guarded(internal::ClientCore& core, std::string_view method,
                                    Payload payload, const CallOptions& options);
  static Result<Reply> call_admitted(internal::ClientCore& core, std::string_view method,
                                     Payload payload, const CallOptions& options);
  static Result<Reply> call_once(internal::ClientCore& core, std::string_view method,
                                 Payload payload, const CallOptions& options);
  static Result<Reply> call_uncounted(internal::ClientCore& core, std::string_view method,
                                      Payload payload, const CallOptions& options,
                                      std::uint64_t started_ns);

  static Result<Stream> stream(internal::ClientCore& core, std::string_view method, Payload payload,
                               const StreamOptions& options);
  static Result<Reply> call_nested(internal::ClientCore& core, internal::ToolDesk& desk,
                                   std::string_view method, Payload payload,
                                   const CallOptions& options);

  explicit Client(std::shared_ptr<internal::ClientCore> core);

  std::shared_ptr<internal::ClientCore> core_;
};

}  // namespace slotring

#endif  // SLOTRING_CLIENT_H_
