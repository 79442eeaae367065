// A named session of a pool: calls that belong together, and the state that their handlers keep
// between them.
//
//     Session session = client.session("user-42", {.mode = SessionMode::kQueue});
//     auto reply = session.call("add_to_cart", "apple");   // created by its first call
//     session.end();
//
// A session is at home at one worker, which the pool chooses with the first call and again when
// that worker has gone for good. In Python its state is `ctx.session`. Where the pool keeps that in
// its workers (session_store = "memory"), a worker's death loses it: the next call then ends with
// SESSION_LOST, once, whoever makes it, and later ones start afresh.
//
// Sessions belong to the pool, not to a client: any client that gives the name has the same.
// Thread-safe, and cheap to make. The Client outlives it, and may be moved meanwhile.

#ifndef SLOTRING_SESSION_H_
#define SLOTRING_SESSION_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "slotring/lease.h"
#include "slotring/payload.h"
#include "slotring/result.h"
#include "slotring/stream.h"

namespace slotring {

class Client;
class Reply;

struct SessionOptions {
  // For calls that say nothing else.
  SessionMode mode = SessionMode::kPoolDefault;
};

// What a pool knows of a session at one moment.
struct SessionInfo {
  std::string name;
  std::optional<std::uint32_t>
      worker;              // where it is at home; none before its first call got a slot
  bool has_state = false;  // in that worker; always false with a durable store
  std::chrono::system_clock::time_point created;
  std::chrono::nanoseconds unused_for{0};  // since the start of its last call
  std::uint64_t calls = 0;                 // that ended, of all clients
  std::uint64_t errors = 0;                // of those
};

class Session {
 public:
  const std::string& name() const { return name_; }

  // Calls `method` in this session; its name and mode take the place of those in `options`, but for
  // a mode that `options` names. Errors: as Client::call(), and
  //   INVALID_ARGUMENT  the name is empty or longer than 63 bytes, or the pool has no sessions
  //   SESSION_LIMIT     the pool has max_sessions already
  //   SESSION_BUSY      mode kFail, and the session's worker is not idle (retryable)
  //   SESSION_LOST      its state went with its worker; told once
  //   SESSION_CONFLICT, SESSION_STATE_INVALID, SESSION_STORE_FAILED  of the state, see the Python
  //                     package
  Result<Reply> call(std::string_view method, Payload payload, const CallOptions& options = {});

  // Claims a slot for one call in this session. Errors: as Client::claim(), and those above.
  Result<Lease> claim(const CallOptions& options = {});

  // A call in this session that carries a stream; see stream.h. Errors: as Client::stream(), and
  // those of call().
  Result<Stream> stream(std::string_view method, Payload payload,
                        const StreamOptions& options = {});

  // Ends the session: its worker runs the end hooks and forgets the state. Waits for calls that the
  // worker has already. A session whose state was lost is ended all the same, without hooks.
  // Errors: SESSION_NOT_FOUND when there is none of that name, and as call().
  Status end(const CallOptions& options = {});

  // Errors: SESSION_NOT_FOUND, INVALID_ARGUMENT.
  Result<SessionInfo> info() const;

 private:
  friend class Client;
  Session(internal::ClientCore* core, std::string_view name, const SessionOptions& options)
      : core_(core), name_(name), options_(options) {}
  CallOptions in_session(const CallOptions& options) const;

  internal::ClientCore* core_;
  std::string name_;
  SessionOptions options_;
};

}  // namespace slotring

#endif  // SLOTRING_SESSION_H_
