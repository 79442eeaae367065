// Calls that no thread waits for: futures, callbacks, and completions for other event loops. Comes
// with slotring/client.h.
//
//     std::future<Result<Reply>> reply = client.call_async("classify", pixels);
//     ... reply.get() ...                                   // Result<Reply>
//
//     client.call_async("classify", pixels, {}, [](Result<Reply> reply) { ... });
//
//     CompletionQueue queue = CompletionQueue::create().value();
//     client.call_async("classify", pixels, {}, queue.wrap([](Result<Reply> reply) { ... }));
//     ... poll() on queue.fd(), then queue.run_ready() ...
//
// Boost.Asio's completion tokens, co_await among them: slotring/asio.h.
//
// Guarantee: each call ends exactly once, as Client::call() would have: with its reply or one
// Error, at its deadline or at once when its stop_token is told. Nothing polls; one waiting thread
// a client, which the first asynchronous call starts and the client's end ends, looks after all
// calls.
//
// A call is sent at once, on the caller's thread, where a slot is free; otherwise the client keeps
// it, with a copy of its payload, until one is, in order: up to kMaxQueuedCalls calls and
// kMaxQueuedBytes of payload, and POOL_SATURATED beyond.
//
// What is not as with call():
//   - INVALID_ARGUMENT with a `retry`: whoever gets an error that says `retryable` calls again;
//   - INVALID_ARGUMENT with a `session`: use Session::call(), on a thread that may wait;
//   - a call that its worker left unstarted when it went for good ends with WORKER_UNAVAILABLE or
//     WORKER_LOST (retryable: nothing ran), where call() finds itself another slot;
//   - tools are not answered.
//
// Callbacks run on the waiting thread, one after another, FORKED and SYSTEM_LIMIT (no thread could
// be started) excepted, which are told on the caller's. They must not throw, and may call the
// client again: call_async() is what they should use. A blocking call() holds up all other
// completions, and where those hold all slots it ends with its deadline. Waiting for a future there
// never ends, and so does destroying the client.
//
// A future's reply is a copy, in the client's own memory: a future that nobody reads holds no slot,
// and may outlive the client. A callback's is in its slot, and holds it; it may be kept, moved to
// and destroyed on any thread, and outlive the client, which stays attached as long.
//
// The client's end ends all calls that are under way with CANCELLED. In a child made by fork() they
// never end.

#ifndef SLOTRING_ASYNC_H_
#define SLOTRING_ASYNC_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "slotring/result.h"

namespace slotring {

class Reply;

inline constexpr std::size_t kMaxQueuedCalls = 4096;
inline constexpr std::size_t kMaxQueuedBytes = std::size_t{256} << 20;

// Takes a call's outcome, once. Of anything that can be called with a Result<Reply>, and moved.
class OnReply {
 public:
  template <class Callback>
  requires(!std::same_as<std::remove_cvref_t<Callback>, OnReply>) OnReply(Callback&& callback)
      : target_(
            std::make_unique<Holder<std::decay_t<Callback>>>(std::forward<Callback>(callback))) {}

  void operator()(Result<Reply> reply);

 private:
  struct Target {
    virtual ~Target() = default;
    virtual void call(Result<Reply>& reply) = 0;
  };
  // Outcome is a Result<Reply>, by a name that waits for Reply to be complete.
  template <class Callback, class Outcome = Result<Reply>>
  struct Holder final : Target {
    template <class From>
    explicit Holder(From&& from) : callback(std::forward<From>(from)) {}
    void call(Outcome& reply) override { callback(std::move(reply)); }
    Callback callback;
  };

  std::unique_ptr<Target> target_;
};

// Hands completions to a thread of the user's, by way of a descriptor that it can wait for with its
// other ones. Wraps the callbacks of calls, of one client or several. Thread-safe; run_ready() by
// one thread at a time.
class CompletionQueue {
 public:
  // Errors: SYSTEM_LIMIT.
  static Result<CompletionQueue> create();

  CompletionQueue(CompletionQueue&&) noexcept;
  CompletionQueue& operator=(CompletionQueue&&) noexcept;
  // Callbacks that have not run are destroyed without: those of calls that have ended, and of calls
  // that will. End the clients first and run what is ready, if they matter.
  ~CompletionQueue();

  // The callback of a call, to be run by run_ready().
  OnReply wrap(OnReply callback);

  // Readable while completions wait: for poll(), epoll and the like, not to be read. Valid as long
  // as the queue.
  int fd() const;

  // Runs the callbacks of the calls that have ended, in that order; never blocks. Those of calls
  // that end meanwhile are left to the next. Returns how many ran. What a callback throws passes
  // through; the rest is run next time.
  std::size_t run_ready();

 private:
  class State;
  explicit CompletionQueue(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;
};

}  // namespace slotring

#endif  // SLOTRING_ASYNC_H_
