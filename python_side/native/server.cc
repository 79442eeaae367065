#include "python_side/native/server.h"

#include <unistd.h>

#include "python_side/native/active_call.h"
#include "python_side/native/argument.h"
#include "python_side/native/call_session.h"
#include "python_side/native/channel.h"
#include "python_side/native/context.h"
#include "python_side/native/table.h"
#include "python_side/native/tensor_objects.h"
#include "python_side/native/value.h"

namespace slotring::python {

namespace {

// A private copy larger than this is not kept for the next request.
constexpr std::size_t kKeptCopyBytes = std::size_t{1} << 20;
// Handlers in C never release the GIL by themselves: other threads get a turn after so many calls.
constexpr std::uint32_t kCallsInTurn = 256;
// While it drains, a worker looks this often whether claimed slots were given back: nobody rings
// for that.
constexpr std::uint64_t kDrainLookNs = 5'000'000;
// Releasing and taking the GIL costs about as much as a call: worth a short spin, an eighth of what
// WorkerSeat::wait() spins, with the GIL held.
constexpr std::uint32_t kShareOfSpins = 8;

// Null with a Python exception.
Ref generator_type() {
  const Ref types = Ref::steal(PyImport_ImportModule("types"));
  return types ? Ref::steal(PyObject_GetAttrString(types.get(), "GeneratorType")) : Ref();
}

}  // namespace

Server::Server(shm::WorkerSeat seat, const Types& types)
    : seat_(std::move(seat)),
      pulse_(seat_),
      views_(seat_, types.area),
      arrays_(seat_, views_),
      settings_(seat_),
      types_(types),
      generator_type_(generator_type()),
      spins_with_gil_(shm::wait_budget(seat_.segment().waiting()).spins / kShareOfSpins) {
  not_in_running_session_ = [this](const shm::RunningCall& call) {
    return call.session.empty() || !running_sessions_.contains(call.session);
  };
}

bool Server::serve() {
  if (settings_.due()) make_settings();
  while (!stopped_.load(std::memory_order_relaxed)) {
    if (attention_.load(std::memory_order_relaxed) && !attend()) return false;
    if (alarm_ns_ != shm::kNever && !run_due_alarm()) return false;
    if (const std::optional<shm::RunningCall> call = take()) {
      run(*call);
      give_turn();
    } else if (draining_.load(std::memory_order_relaxed) && !more_expected()) {
      return true;
    } else {
      wait();
    }
  }
  return true;
}

// Requests that come while all threads run a handler are looked at by the first that is done.
void Server::serve_beside_others() {
  for (;;) {
    const std::uint32_t seen = seat_.shared()->interrupts();
    if (stopped()) return;
    if (const std::optional<shm::RunningCall> call = take()) {
      run(*call);
      continue;
    }
    if (draining() && !more_expected()) return;
    const GilRelease released;
    seat_.wait(draining() ? shm::monotonic_now() + kDrainLookNs : shm::kNever, seen);
  }
}

std::optional<shm::RunningCall> Server::take_of(std::string_view method) {
  const Method* known = methods_.find(method);
  const shm::WorkerSeat::Wanted wanted = [&](const shm::RunningCall& call) {
    return known != nullptr && find(call) == known && not_in_running_session_(call);
  };
  return seat_.try_next(&wanted);
}

void Server::hand_over(const shm::RunningCall& call) {
  const Ref object = Ref::steal(begin_call(*this, call));
  if (!object) {
    PyErr_WriteUnraisable(nullptr);
    return;
  }
  if (object.get() == Py_None) return;
  const Ref done =
      Ref::steal(PyObject_CallFunctionObjArgs(find(call)->handler.get(), object.get(), nullptr));
  if (!done) PyErr_WriteUnraisable(nullptr);
  end_if_disowned();
}

void Server::run(const shm::RunningCall& call) {
  if (some_take_calls_) [[unlikely]] {
    const Method* method = find(call);
    if (method != nullptr && method->takes_calls) return hand_over(call);
  }
  ServedCall served(call);
  Status begun = begin(served);
  finish(served, begun ? invoke(served) : Result<WrittenReply>(std::move(begun).error()));
}

Status Server::begin(ServedCall& served) {
  const shm::RunningCall& call = served.running;
  pulse_.call_started();
  if (!call.session.empty() && seat_.shared() != nullptr) running_sessions_.emplace(call.session);
  if (settings_.due()) [[unlikely]]
    make_due_settings();
  served.method = find(call);
  if (served.method == nullptr) return no_such_method(call);
  if (served.method->broadcast_only) return broadcast_only(*served.method);
  if (!call.session.empty()) [[unlikely]] {
    Result<Ref> session = open_session(slow_path_.sessions.get(), slow_path_.describe.get(), call);
    if (!session) return std::move(session).error();
    served.session = *std::move(session);
  }
  if (call.head.flags != 0) [[unlikely]] {
    served.channel = new_channel(types_.channel, this, &call);
    if (!served.channel) return take_exception(ErrorCode::kInternal);
  }
  PyObject* table = served.method->request_table.get();
  Result<Ref> argument =
      table == nullptr ? open_request(call) : open_table(table, call, slow_path_.describe.get());
  if (!argument) return std::move(argument).error();
  served.argument = *std::move(argument);
  return Done{};
}

PyObject* Server::context_of(ServedCall& served) {
  if (!served.context) {
    served.context = new_context(types_.context, seat_, served.running,
                                 {.method = served.method->name_object.get(),
                                  .session = served.session ? served.session.get() : Py_None,
                                  .handler = served.method->handler.get(),
                                  .channel = served.channel.get()});
    if (served.context) give_arrays(served.context.get(), arrays_);
  }
  return served.context.get();
}

Result<Ref> Server::call_handler(ServedCall& served) {
  PyObject* context = nullptr;  // ends the arguments
  if (served.method->wants_context) {
    context = context_of(served);
    if (context == nullptr) return take_exception(ErrorCode::kInternal);
  }
  Ref result = Ref::steal(PyObject_CallFunctionObjArgs(served.method->handler.get(),
                                                       served.argument.get(), context, nullptr));
  if (!result) return take_handler_exception(slow_path_.describe.get());
  return result;
}

// The result is gone when this returns, but for what others have of it.
Result<WrittenReply> Server::invoke(ServedCall& served) {
  const Result<Ref> result = call_handler(served);
  return result ? write(served, result->get()) : Result<WrittenReply>(result.error());
}

Result<WrittenReply> Server::write(ServedCall& served, PyObject* result) {
  return is_generator(result) ? stream(served, result) : write_result(served, result);
}

Result<WrittenReply> Server::write_result(ServedCall& served, PyObject* result) {
  const shm::RunningCall& call = served.running;
  if (std::optional<Error> returned = exception_error(result)) return *std::move(returned);
  SlotSink sink(seat_, call, arrays_, served.method->name);
  if (PyObject* table = served.method->reply_table.get(); table != nullptr) [[unlikely]] {
    return write_table(sink, table, result);
  }
  // The request sent back as it is, unless the handler released it.
  if (result == served.argument.get() && call.head.kind == wire::PayloadKind::Bytes &&
      views_.viewed(call)) {
    return write_bytes(sink, call.payload);
  }
  return replies_.write(sink, result);
}

void Server::finish(ServedCall& served, Result<WrittenReply> outcome) {
  const shm::RunningCall& call = served.running;
  served.argument.reset();
  if (served.context) {
    end_context(served.context.get());
    served.context.reset();
  }
  if (served.channel) [[unlikely]] {
    channel_of(served.channel.get()).end();
    served.channel.reset();
  }
  end_if_disowned();
  if (served.method != nullptr) {
    if (Status closed = views_.close(call, served.method->name); !closed) {
      outcome = std::move(closed).error();
    }
    if (Status closed = arrays_.finish(call, served.method->name); !closed) {
      outcome = std::move(closed).error();
    }
  }
  if (served.session) [[unlikely]] {
    const Status kept = close_session(slow_path_.sessions.get(), slow_path_.describe.get(),
                                      served.session.get(), outcome.ok());
    if (!kept && outcome) outcome = kept.error();
    served.session.reset();
  }
  const auto session =
      call.session.empty() ? running_sessions_.end() : running_sessions_.find(call.session);
  const bool followed = session != running_sessions_.end();
  if (followed) running_sessions_.erase(session);
  if (outcome) {
    const Status replied = seat_.reply(call, outcome->kind, outcome->bytes, outcome->parts());
    if (!replied) seat_.fail(call, replied.error());
  } else {
    seat_.fail(call, outcome.error());
  }
  if (followed) seat_.reconsider();
}

void Server::end_if_disowned() const {
  if (!disowned_) [[likely]]
    return;
  constexpr char kLine[] = "slotring: a process forked by a handler came back from it; it ends\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kLine, sizeof(kLine) - 1);
  ::_exit(1);
}

Result<Ref> Server::open_request(const shm::RunningCall& call) {
  switch (call.head.kind) {
    case wire::PayloadKind::Empty:
      return Ref::share(Py_None);
    case wire::PayloadKind::Bytes: {
      Ref view = views_.open(call);
      if (!view) return take_exception(ErrorCode::kInternal);
      return view;
    }
    case wire::PayloadKind::Value:
      return read_request_value(call);
    case wire::PayloadKind::Tensors:
      return read_request_tensors(call);
    case wire::PayloadKind::Table:
      return unexpected_table(call, find(call)->name);
    default:
      return kind_not_taken(call.head.kind);
  }
}

Result<Ref> Server::read_request_tensors(const shm::RunningCall& call) {
  return read_tensor_objects({call.head, call.rare, call.payload},
                             [&](const Tensor& tensor) { return views_.open(call, tensor); });
}

Result<Ref> Server::read_request_value(const shm::RunningCall& call) {
  // Making objects may run code of the user's (a collection of garbage), and with it other calls.
  std::vector<std::byte> copy = std::exchange(private_copy_, {});
  try {
    copy.assign(call.payload.begin(), call.payload.end());
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, "no memory to convert the request"};
  }
  Result<Ref> value = read_value(copy);
  if (copy.capacity() <= kKeptCopyBytes) private_copy_ = std::move(copy);
  return value;
}

void Server::wait() {
  const std::uint32_t spins = spins_with_gil_.next();
  for (std::uint32_t i = 0; i < spins; ++i) {
    if (seat_.pending()) {
      spins_with_gil_.hit();
      return;
    }
    shm::cpu_pause();
  }
  if (spins > 0) spins_with_gil_.miss();
  calls_in_turn_ = 0;
  const GilRelease released;
  seat_.wait(draining_.load(std::memory_order_relaxed)
                 ? shm::earlier(alarm_ns_, shm::monotonic_now() + kDrainLookNs)
                 : alarm_ns_);
}

void Server::give_turn() {
  if (++calls_in_turn_ < kCallsInTurn) return;
  calls_in_turn_ = 0;
  const GilRelease released;
}

shm::WorkerSeat::CallerWait Server::await_caller(const shm::RunningCall& call,
                                                 const std::function<bool()>& done,
                                                 shm::MonotonicNs deadline) {
  calls_in_turn_ = 0;
  const GilRelease released;
  return seat_.await_caller(call, done, deadline);
}

}  // namespace slotring::python
