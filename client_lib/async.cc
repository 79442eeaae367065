#include "slotring/async.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <mutex>
#include <new>

#include "client_lib/async_calls.h"
#include "client_lib/client_core.h"
#include "client_lib/shm/memory.h"
#include "client_lib/shm/unique_fd.h"
#include "slotring/client.h"

namespace slotring {

using internal::AsyncCalls;

namespace {

void begin(internal::ClientCore& core, std::string_view method, Payload payload,
           const CallOptions& options, AsyncCalls::Placement placement, OnReply on_reply) {
  Result<AsyncCalls*> calls = core.async();
  if (!calls) return on_reply(std::move(calls).error());
  (*calls)->begin(method, payload, options, placement, std::move(on_reply));
}

}  // namespace

void OnReply::operator()(Result<Reply> reply) {
  const std::unique_ptr<Target> target = std::move(target_);
  target->call(reply);
}

Reply& Reply::operator=(Reply&& other) noexcept {
  if (this == &other) return *this;
  lease_ = std::move(other.lease_);  // first: keeps_ may be what its slot lies in
  owned_ = std::move(other.owned_);
  view_ = other.view_;
  keeps_ = std::move(other.keeps_);
  return *this;
}

Result<Reply> Reply::copied() && {
  try {
    OwnedPayload copy(view_);
    lease_.release();
    return Reply(std::move(copy));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, "no memory for a copy of the reply of " +
                                              std::to_string(view_.bytes.size()) + " bytes"};
  }
}

std::future<Result<Reply>> Client::call_async(std::string_view method, Payload payload,
                                              const CallOptions& options) {
  std::promise<Result<Reply>> promise;
  std::future<Result<Reply>> future = promise.get_future();
  begin(*core_, method, payload, options, AsyncCalls::Placement::kCopied,
        [promise = std::move(promise)](Result<Reply> reply) mutable {
          promise.set_value(std::move(reply));
        });
  return future;
}

void Client::call_async(std::string_view method, Payload payload, const CallOptions& options,
                        OnReply on_reply) {
  begin(*core_, method, payload, options, AsyncCalls::Placement::kInSlot, std::move(on_reply));
}

class CompletionQueue::State {
 public:
  explicit State(shm::UniqueFd event) : event_(std::move(event)) {}

  int fd() const { return event_.get(); }

  void add(OnReply callback, Result<Reply> reply) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    ready_.push_back({std::move(callback), std::move(reply)});
    if (ready_.size() == 1) signal();
  }

  std::size_t run_ready() {
    std::size_t ran = 0;
    for (std::size_t most = count(); ran < most; ++ran) {
      Ready next = take_first();
      next.callback(std::move(next.reply));
    }
    return ran;
  }

  void close() {
    std::deque<Ready> dropped;
    const std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(ready_);
  }

 private:
  struct Ready {
    OnReply callback;
    Result<Reply> reply;
  };

  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return ready_.size();
  }
  // REQUIRES: there is one.
  Ready take_first() {
    const std::lock_guard lock(mutex_);
    Ready first = std::move(ready_.front());
    ready_.pop_front();
    if (ready_.empty()) clear_signal();
    return first;
  }
  // Readable while, and only while, something is ready. REQUIRES: mutex_ is held.
  void signal() const { (void)::eventfd_write(event_.get(), 1); }
  void clear_signal() const {
    eventfd_t count = 0;
    (void)::eventfd_read(event_.get(), &count);
  }

  shm::UniqueFd event_;
  std::mutex mutex_;  // guards the rest
  std::deque<Ready> ready_;
  bool closed_ = false;
};

Result<CompletionQueue> CompletionQueue::create() {
  shm::UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return shm::system_error("eventfd", errno);
  return CompletionQueue(std::make_shared<State>(std::move(event)));
}

CompletionQueue::CompletionQueue(std::shared_ptr<State> state) : state_(std::move(state)) {}
CompletionQueue::CompletionQueue(CompletionQueue&&) noexcept = default;
CompletionQueue& CompletionQueue::operator=(CompletionQueue&& other) noexcept {
  if (this == &other) return *this;
  if (state_) state_->close();
  state_ = std::move(other.state_);
  return *this;
}
CompletionQueue::~CompletionQueue() {
  if (state_) state_->close();
}

OnReply CompletionQueue::wrap(OnReply callback) {
  return [state = state_, callback = std::move(callback)](Result<Reply> reply) mutable {
    state->add(std::move(callback), std::move(reply));
  };
}

int CompletionQueue::fd() const { return state_->fd(); }
std::size_t CompletionQueue::run_ready() { return state_->run_ready(); }

}  // namespace slotring
