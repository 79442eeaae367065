#include "supervisor/event_watch.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "client_lib/shm/memory.h"

namespace slotring::supervisor {

namespace asio = boost::asio;
using boost::system::error_code;

// Held by the watch and by the operation that asio has pending, so that a completion that was
// queued before stop() finds it, and finds it stopped.
struct ReadableWatch::State {
  State(asio::io_context& io, Callback callback)
      : descriptor(io), on_readable(std::move(callback)) {}

  asio::posix::stream_descriptor descriptor;
  Callback on_readable;
  bool pending = false;  // asio holds an operation
  bool paused = false;
  bool stopped = false;
};

Result<ReadableWatch> ReadableWatch::start(asio::io_context& io, shm::UniqueFd fd,
                                           Callback on_readable) {
  auto state = std::make_shared<State>(io, std::move(on_readable));
  error_code failed;
  state->descriptor.assign(fd.get(), failed);
  if (failed) return shm::system_error("watching a descriptor", failed.value());
  (void)fd.release();  // the stream_descriptor has it
  await(state);
  return ReadableWatch(std::move(state));
}

void ReadableWatch::await(std::shared_ptr<State> state) {
  state->pending = true;
  auto& descriptor = state->descriptor;
  descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                        [held = std::move(state)](const error_code&) mutable {
                          held->pending = false;
                          if (held->stopped || held->paused) return;
                          try {
                            held->on_readable();
                          } catch (...) {
                            // What made it readable is still there, and is told again.
                            if (!held->stopped && !held->paused) await(std::move(held));
                            throw;
                          }
                          if (held->stopped || held->paused || held->pending) return;
                          await(std::move(held));
                        });
}

void ReadableWatch::stop() {
  if (!state_) return;
  state_->stopped = true;
  error_code ignored;  // close(2) has closed it even when it complains
  state_->descriptor.close(ignored);
  state_.reset();
}

void ReadableWatch::pause() {
  if (state_) state_->paused = true;
}

void ReadableWatch::resume() {
  if (!state_ || !state_->paused) return;
  state_->paused = false;
  if (!state_->pending) await(state_);
}

int ReadableWatch::fd() const { return state_ ? state_->descriptor.native_handle() : -1; }

struct Timer::State {
  State(asio::io_context& io, Callback callback) : timer(io), on_timeout(std::move(callback)) {}

  asio::steady_timer timer;
  Callback on_timeout;
  bool cancelled = false;
};

Timer::Timer(asio::io_context& io) : io_(io) {}

void Timer::start(std::chrono::milliseconds delay, Callback on_timeout) {
  cancel();
  state_ = std::make_shared<State>(io_, std::move(on_timeout));
  state_->timer.expires_after(delay);
  state_->timer.async_wait([this, held = state_](const error_code&) {
    if (held->cancelled) return;
    state_.reset();  // so that active() is false in the callback, and start() works there
    held->on_timeout();
  });
}

void Timer::cancel() {
  if (!state_) return;
  state_->cancelled = true;
  state_->timer.cancel();
  state_.reset();
}

}  // namespace slotring::supervisor
