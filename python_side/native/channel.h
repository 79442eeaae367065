// What a handler and its caller send each other while their call runs: items of a stream either
// way, and what tools are asked and answer. With the GIL held but while it waits.
//
// A Python object (slotring._native.Channel) owns it: a handler that keeps it past its call has one
// whose call is over, and gets CANCELLED from it.
//
// Nested calls: while a tool runs, its caller may call this worker in the same slot (kNested).
// Whoever waits here runs their handlers at once, inside the waiting, with the same channel.
//
// One thread at a time: another that comes while one waits gets INVALID_ARGUMENT.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_CHANNEL_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_CHANNEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/reply.h"

namespace slotring::python {

class Server;

inline constexpr int kMaxNestedCalls = 16;

class Channel {
 public:
  // Errors of all that waits: CANCELLED (the caller has gone, or the call is over),
  // DEADLINE_EXCEEDED, INVALID_ARGUMENT (another thread waits); any, if a Python exception is set
  // too, which a signal's handler raised.

  // Of a call whose caller attends to nothing.
  explicit Channel(PyObject* self) : self_(self) {}
  // Of a running call, until end(). `self` is the Python object that owns this.
  Channel(PyObject* self, Server& server, const shm::RunningCall& call);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // Must be called before the call ends.
  void end();

  bool attends(wire::FrameFlags to) const { return (flags_ & static_cast<std::uint8_t>(to)) != 0; }

  // Whether send() may try: not CANCELLED, not STREAM_REQUIRED.
  Status may_send() const;
  // Sends one item of the stream. Errors: as all that waits; STREAM_REQUIRED, when nobody reads;
  // REPLY_NOT_CONVERTIBLE, PAYLOAD_TOO_LARGE, OUT_OF_MEMORY.
  Status send(PyObject* item);
  // The same without waiting: false when there is no room now. kRoom is what to wait for then.
  Result<bool> try_send(PyObject* item);

  // The next item that the caller sends, a copy; nothing after its last, or when it sends none.
  // Errors: as all that waits; BAD_FRAME, OUT_OF_MEMORY.
  Result<std::optional<Ref>> receive();

  // Asks a tool of the caller, which is to answer until `deadline`; returns the question's number,
  // from 1. Errors: as send(); STREAM_REQUIRED, when the caller has no tools.
  Result<std::uint64_t> ask(std::string_view tool, PyObject* argument, shm::MonotonicNs deadline);
  // The answer, once. Errors: the tool's own, and as all that waits.
  Result<Ref> answer(std::uint64_t question);

  // What there is to wait for: an item, room for the item that try_send() had no room for, or, as
  // its number, a question's answer.
  static constexpr std::int64_t kItem = 0;
  static constexpr std::int64_t kRoom = -1;
  // Whether it is there, or will never be. Serves what tools send meanwhile.
  Result<bool> ready(std::int64_t what);
  // Waits until it is.
  Status wait(std::int64_t what);
  // For who waits by itself, and then looks at ready(): the worker's bell is rung, once, when the
  // caller has sent something or has gone. Returns when to look at the latest.
  shm::MonotonicNs announce(std::int64_t what);

 private:
  friend class LaneSink;
  struct Question {
    std::string tool;
    shm::MonotonicNs deadline;
    std::optional<Result<Ref>> answer;
  };

  Status enter() const;
  // Waits until `done`, which must need nothing of Python, or until the call's deadline; nested
  // calls are served meanwhile. await_once() returns when there may be something to serve, too.
  Status await(const std::function<bool()>& done);
  Status await_once(const std::function<bool()>& done, shm::MonotonicNs deadline);
  Status send_to(PayloadSink& sink, PyObject* item);
  bool try_send_bytes(PyObject* item);

  bool tools_ready();
  Status serve_tools();
  Result<Ref> take(const shm::Frame& frame);
  void take_answer(const shm::Frame& frame);
  Status serve_nested(const shm::Frame& frame);
  Status send_nested_reply(std::uint64_t number, const Result<Ref>& result);
  void release_tools();
  shm::CallLanes& lanes() const;
  Error gone() const;

  PyObject* self_;            // borrowed
  Server* server_ = nullptr;  // null when the call is over, or where there is none
  const shm::RunningCall* call_ = nullptr;
  std::uint8_t flags_ = 0;
  bool waiting_ = false;          // without the GIL, or while an item is converted
  bool incoming_ended_ = false;   // no item follows
  std::uint64_t room_bytes_ = 0;  // that try_send() found no room for
  bool room_with_envelope_ = false;
  std::map<std::uint64_t, Question> questions_;
  std::optional<Error> tools_error_;  // what its caller sent there does not check
  std::uint32_t last_question_ = 0;
  int nested_ = 0;             // that run, each inside the waiting of the one before
  std::uint32_t running_ = 0;  // the number of the innermost; 0: the call's own handler
};

// A new slotring._native.Channel of a call; null with a Python exception. Without `server`, of a
// call whose caller attends to nothing.
Ref new_channel(PyTypeObject* channel_type, Server* server, const shm::RunningCall* call);
Channel& channel_of(PyObject* channel);

extern PyType_Spec channel_spec;

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_CHANNEL_H_
