// The serving loop: takes calls from a worker's seat, runs their handlers, sends the replies.
// Native but for the handler itself.
//
// serve() runs on one thread, with the GIL held but while it waits. drain(), stop() and interrupt()
// may be called from any thread, without the GIL.
//
// A call is served in steps, begin() to finish(), which serve() does in a row; active_call.h does
// them one by one, for calls that are served beside others. As many calls as the worker has slots
// may be between begin() and finish().
//
// Guarantee: each call that is taken ends exactly once, with a reply or an error, whatever its
// handler raises, returns or keeps; and no view of its request sees anything of a later call
// (view.h).

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_SERVER_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_SERVER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client_lib/shm/adaptive_wait.h"
#include "client_lib/shm/worker_seat.h"
#include "python_side/native/error.h"
#include "python_side/native/method_table.h"
#include "python_side/native/pulse.h"
#include "python_side/native/python_ref.h"
#include "python_side/native/reply.h"
#include "python_side/native/settings.h"
#include "python_side/native/view.h"

namespace slotring::python {

// Python functions for what is rare. See slotring/errors.py.
struct SlowPath {
  Ref describe;        // describe(exception) -> (code, retryable, message, type, traceback)
  Ref no_such_method;  // no_such_method(name) -> message
  Ref sessions;        // a worker_sessions.WorkerSessions
};

// A call between begin() and finish(), and what it holds meanwhile.
struct ServedCall {
  explicit ServedCall(const shm::RunningCall& call) : running(call) {}

  const shm::RunningCall& running;  // outlives this
  const Method* method = nullptr;
  Ref session;   // null for none
  Ref argument;  // the request, converted
  Ref context;   // null until it is wanted
  Ref channel;   // null when its caller attends to nothing
};

class Server {
 public:
  // Python types that it makes objects of; they outlive it.
  struct Types {
    PyTypeObject* area;
    PyTypeObject* context;
    PyTypeObject* channel;
    PyTypeObject* call;
  };

  Server(shm::WorkerSeat seat, const Types& types);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const shm::WorkerSeat& seat() const { return seat_; }
  shm::WorkerSeat& seat() { return seat_; }
  ReplyWriter& replies() { return replies_; }
  const Types& types() const { return types_; }
  Pulse& pulse() { return pulse_; }
  const WorkerSettings& settings() const { return settings_; }

  // Makes `methods` callable by these ids. REQUIRES: as many ids; serve() has not been called.
  void bind(std::vector<Method> methods, const std::vector<std::uint16_t>& ids) {
    methods_.bind(std::move(methods), ids);
    some_take_calls_ = methods_.some_take_calls();
  }

  // Before the first call is served.
  void use(SlowPath slow_path) { slow_path_ = std::move(slow_path); }

  // The handler's result, of a call that a tool of the `channel`'s call makes. `nested` is that
  // call with the head of this one.
  Result<Ref> run_nested(const shm::RunningCall& nested, Ref argument, PyObject* channel);
  // Where every handler waits for its caller: as WorkerSeat::await_caller(), without the GIL.
  shm::WorkerSeat::CallerWait await_caller(const shm::RunningCall& call,
                                           const std::function<bool()>& done,
                                           shm::MonotonicNs deadline);

  // Serves until stop(), or until drain() and nothing is left to serve. False with a Python
  // exception: a signal's handler raised it, between calls.
  bool serve();
  // The same beside others, each on a thread of its own; what concerns the whole worker (signals,
  // alarms) is the main thread's. REQUIRES: the seat is shared.
  void serve_beside_others();
  // Whether serving is over, if nothing runs any more.
  bool may_leave() const {
    return stopped_.load(std::memory_order_relaxed) || (draining() && !more_expected());
  }
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
  // The Python object that owns this.
  void set_worker(PyObject* worker) { worker_ = worker; }
  PyObject* worker() const { return worker_; }

  // The steps of one call. With the GIL held, on any thread.
  //
  // The next call that is requested, to be begun. Never blocks. In a shared seat, none of a session
  // of which a call runs: it follows that one.
  std::optional<shm::RunningCall> take() {
    if (seat_.shared() == nullptr) [[likely]]
      return seat_.try_next();
    return seat_.try_next(&not_in_running_session_);
  }
  // The same, of one method only.
  std::optional<shm::RunningCall> take_of(std::string_view method);
  // Finds the method and makes what its handler is called with. A call that fails here is finished
  // with that error.
  Status begin(ServedCall& served);
  // The call's context; null with a Python exception.
  PyObject* context_of(ServedCall& served);
  // Calls the handler, and writes what it returns.
  Result<WrittenReply> invoke(ServedCall& served);
  // Writes what the handler returned; runs a generator to its end.
  Result<WrittenReply> write(ServedCall& served, PyObject* result);
  // The error of the exception that it raised, or returned; nothing where that is none.
  std::optional<Error> exception_error(PyObject* exception) const {
    return returned_exception(exception, slow_path_.describe.get());
  }
  // Ends the call. Afterwards nothing of `served` may be used, and its context only tells that the
  // call is over.
  void finish(ServedCall& served, Result<WrittenReply> outcome);

  bool draining() const { return draining_.load(std::memory_order_relaxed); }
  void drain();      // serve what is requested or claimed, then leave
  void stop();       // leave after the running call
  void interrupt();  // look at signals soon
  // serve() calls sessions.alarm() then, between calls; kNever for not at all. On its thread.
  void set_alarm(shm::MonotonicNs at) { alarm_ns_ = at; }
  // For a process forked by a handler: it must never end a call that is its parent's.
  void disown() { disowned_ = true; }

 private:
  void run(const shm::RunningCall& call);
  void hand_over(const shm::RunningCall& call);
  void make_settings();
  void make_due_settings();
  void end_if_disowned() const;
  Result<Ref> call_handler(ServedCall& served);
  Result<WrittenReply> stream(ServedCall& served, PyObject* generator);
  Result<WrittenReply> write_result(ServedCall& served, PyObject* result);
  bool is_generator(PyObject* object) const {
    return as_object(Py_TYPE(object)) == generator_type_.get();
  }
  Result<Ref> open_request(const shm::RunningCall& call);
  Result<Ref> read_request_tensors(const shm::RunningCall& call);
  Result<Ref> read_request_value(const shm::RunningCall& call);
  const Method* find(const shm::RunningCall& call) const { return methods_.find(call); }
  Error no_such_method(const shm::RunningCall& call) const {
    return no_such_method(asked_name(seat_.segment(), call));
  }
  Error no_such_method(const std::string& name) const {
    return unknown_method(name, slow_path_.no_such_method.get());
  }
  bool attend();
  bool run_due_alarm();
  void wait();
  void give_turn();
  bool more_expected() const;

  shm::WorkerSeat seat_;
  Pulse pulse_;
  RequestViews views_;
  ReplyArrays arrays_;
  ReplyWriter replies_;
  WorkerSettings settings_;
  Types types_;
  Ref generator_type_;  // types.GeneratorType
  SlowPath slow_path_;
  PyObject* worker_ = nullptr;  // borrowed
  bool some_take_calls_ = false;
  // In a shared seat, the sessions of calls that run.
  std::multiset<std::string, std::less<>> running_sessions_;
  shm::WorkerSeat::Wanted not_in_running_session_;
  MethodTable methods_;
  std::vector<std::byte> private_copy_;  // of a request to be parsed
  shm::LearnedTries spins_with_gil_;
  std::uint32_t calls_in_turn_ = 0;  // since the GIL was last released
  shm::MonotonicNs alarm_ns_ = shm::kNever;

  std::atomic<bool> attention_{false};
  std::atomic<bool> draining_{false};
  std::atomic<bool> stopped_{false};
  bool disowned_ = false;
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_SERVER_H_
