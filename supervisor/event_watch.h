// The two things that the supervisor waits for: a descriptor that becomes readable, and a point in
// time. The seam to asio: callers read and write descriptors themselves, by plain system calls.
//
// All of it belongs to the one thread that runs the io_context. A watch and a timer may be
// destroyed, stopped or started again at any time, from their own callback too; no callback runs
// afterwards. What a callback throws leaves the io_context's run(), and the watch goes on.

#ifndef SLOTRING_SUPERVISOR_EVENT_WATCH_H_
#define SLOTRING_SUPERVISOR_EVENT_WATCH_H_

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

using Callback = std::function<void()>;

// Calls back each time, and for as long as, the descriptor is readable: data, end of file, a
// connection to accept, or (pidfd) a death. Owns the descriptor and makes it non-blocking.
class ReadableWatch {
 public:
  ReadableWatch() = default;
  ~ReadableWatch() { stop(); }
  ReadableWatch(ReadableWatch&& other) noexcept : state_(std::move(other.state_)) {}
  ReadableWatch& operator=(ReadableWatch&& other) noexcept {
    stop();
    state_ = std::move(other.state_);
    return *this;
  }

  // Errors: OUT_OF_MEMORY, SYSTEM_LIMIT.
  static Result<ReadableWatch> start(boost::asio::io_context& io, shm::UniqueFd fd,
                                     Callback on_readable);

  // Closes the descriptor.
  void stop();
  // No callback between the two, whatever the descriptor says.
  void pause();
  void resume();
  bool active() const { return state_ != nullptr; }
  int fd() const;  // -1 when not active

 private:
  struct State;
  explicit ReadableWatch(std::shared_ptr<State> state) : state_(std::move(state)) {}
  static void await(std::shared_ptr<State> state);

  std::shared_ptr<State> state_;
};

// Calls back once, some time after start(); starting again replaces what was started before.
class Timer {
 public:
  explicit Timer(boost::asio::io_context& io);
  ~Timer() { cancel(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void start(std::chrono::milliseconds delay, Callback on_timeout);
  void cancel();
  bool active() const { return state_ != nullptr; }

 private:
  struct State;
  boost::asio::io_context& io_;
  std::shared_ptr<State> state_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_EVENT_WATCH_H_
