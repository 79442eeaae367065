#include "python_side/native/settings.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "python_side/native/argument.h"
#include "python_side/native/context.h"
#include "python_side/native/error.h"
#include "python_side/native/method_table.h"

namespace slotring::python {

namespace {

void write_to_stderr(const std::string& text) {
  PyObject* standard_error = PySys_GetObject("stderr");  // borrowed
  if (standard_error == nullptr || standard_error == Py_None) return;
  if (PyFile_WriteString(text.c_str(), standard_error) != 0) PyErr_Clear();
}

void report(const shm::Setting& setting, const Error& error) {
  std::string text = "slotring: worker " + std::to_string(::getpid()) + ": the setting '" +
                     setting.key + "' (" + setting.method + ", epoch " +
                     std::to_string(setting.epoch) + ") failed: " + error.to_string() + "\n";
  text += error.traceback;
  if (text.back() != '\n') text += '\n';
  write_to_stderr(text);
}

Ref error_tuple(const std::optional<Error>& error) {
  if (!error) return Ref::share(Py_None);
  return Ref::steal(Py_BuildValue("(iOOOO)", static_cast<int>(error->code),
                                  error->retryable ? Py_True : Py_False,
                                  str_of(error->message).get(), str_of(error->python_type).get(),
                                  str_of(error->traceback).get()));
}

// What is wrong with a result that the handler's work has yet to come from.
std::optional<Error> not_run(const Method& method, PyObject* result) {
  const Ref coroutines = Ref::steal(PyImport_ImportModule("slotring.coroutines"));
  const Ref kind =
      coroutines ? Ref::steal(PyObject_CallMethod(coroutines.get(), "drop", "O", result)) : Ref();
  if (!kind) return take_exception(ErrorCode::kHandlerRaised);
  if (kind.get() == Py_None) return std::nullopt;
  const std::string returned = "the method '" + method.name + "' returned " + text_of(kind.get()) +
                               ", which a broadcast does not run: ";
  if (text_of(kind.get()) == "a coroutine") {
    return Error{ErrorCode::kReplyNotConvertible,
                 returned + "define its handler with `async def`, or await it there"};
  }
  return Error{ErrorCode::kStreamRequired,
               returned +
                   "nobody reads its items; broadcast to a handler that does its work and "
                   "returns"};
}

}  // namespace

void WorkerSettings::catch_up(const Make& make) {
  const shm::SettingsSeen seen = shm::read_settings(seat_.segment());
  const bool first = epoch_ == kNotYet;
  // What is not there any more was retracted, and is made by all.
  std::erase_if(outcomes_, [&](const auto& known) {
    return std::none_of(seen.settings.begin(), seen.settings.end(),
                        [&](const shm::Setting& setting) { return setting.key == known.first; });
  });
  catching_up_.store(true, std::memory_order_relaxed);
  for (const shm::Setting& setting : seen.settings) {
    const auto known = outcomes_.find(setting.key);
    if (known != outcomes_.end() && known->second.epoch == setting.epoch) continue;
    if (first && setting.retracted) continue;
    std::optional<Error> error = make(setting);
    if (error) report(setting, *error);
    outcomes_.insert_or_assign(
        setting.key, Outcome{setting.method, setting.epoch, setting.retracted, std::move(error)});
  }
  catching_up_.store(false, std::memory_order_relaxed);
  epoch_ = seen.epoch;
  std::uint32_t failed = 0;
  for (const auto& [key, outcome] : outcomes_) {
    if (outcome.error) failed = std::max(failed, outcome.epoch);
  }
  layout::SeatRecord& record = seat_.segment().seat(seat_.index());
  record.settings_failed.store(failed, std::memory_order_relaxed);
  // Release: whoever acquires it knows that the calls were made, and which of them failed.
  record.settings_epoch.store(seen.epoch, std::memory_order_release);
}

Ref WorkerSettings::outcomes() const {
  Ref list = Ref::steal(PyList_New(0));
  for (const auto& [key, outcome] : outcomes_) {
    const Ref error = error_tuple(outcome.error);
    if (!error) return Ref();
    const Ref entry = Ref::steal(
        Py_BuildValue("(OOIOO)", str_of(key).get(), str_of(outcome.method).get(), outcome.epoch,
                      outcome.retracted ? Py_True : Py_False, error.get()));
    if (!entry || PyList_Append(list.get(), entry.get()) != 0) return Ref();
  }
  return list;
}

std::optional<Error> make_setting(const Method& method, const shm::Setting& setting,
                                  const shm::WorkerSeat& seat, PyTypeObject* context_type,
                                  PyObject* describe) {
  if (auto unfit = unfit_beside_calls(method, "a broadcast")) return unfit;
  const Result<Ref> argument =
      private_argument(static_cast<wire::PayloadKind>(setting.kind), setting.payload);
  if (!argument) return argument.error();
  Ref result;
  if (method.wants_context) {
    const shm::RunningCall no_call{};
    const Ref key = str_of(setting.key);
    if (!key) return take_exception(ErrorCode::kInternal);
    const Ref context =
        new_context(context_type, seat, no_call,
                    {.method = method.name_object.get(), .broadcast_key = key.get()});
    if (!context) return take_exception(ErrorCode::kInternal);
    result = Ref::steal(PyObject_CallFunctionObjArgs(method.handler.get(), argument->get(),
                                                     context.get(), nullptr));
    end_context(context.get());
  } else {
    result =
        Ref::steal(PyObject_CallFunctionObjArgs(method.handler.get(), argument->get(), nullptr));
  }
  if (!result) return take_handler_exception(describe);
  if (std::optional<Error> error = returned_exception(result.get(), describe)) return error;
  return not_run(method, result.get());
}

}  // namespace slotring::python
