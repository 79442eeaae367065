// What a worker's serving loop attends to between two calls: settings that are to be made, signals,
// alarms, and being told to leave.

#include "python_side/native/method_table.h"
#include "python_side/native/server.h"

namespace slotring::python {

// Beside others, one thread makes them, and those that want to start a call wait for it.
void Server::make_due_settings() {
  while (settings_.catching_up() && seat_.shared() != nullptr) {
    const GilRelease released;
    const std::uint32_t seen = seat_.shared()->interrupts();
    if (!settings_.catching_up()) break;
    seat_.shared()->await_interrupt(shm::kNever, seen);
  }
  if (!settings_.due()) return;
  make_settings();
  if (seat_.shared() != nullptr) seat_.interrupt();
}

void Server::make_settings() {
  settings_.catch_up([&](const shm::Setting& setting) -> std::optional<Error> {
    const Method* method = methods_.find(setting.method);
    if (method == nullptr) return no_such_method(setting.method);
    std::optional<Error> error =
        make_setting(*method, setting, seat_, types_.context, slow_path_.describe.get());
    end_if_disowned();
    return error;
  });
}

bool Server::attend() {
  attention_.store(false, std::memory_order_relaxed);
  return PyErr_CheckSignals() == 0;
}

bool Server::run_due_alarm() {
  if (shm::monotonic_now() < alarm_ns_) return true;
  alarm_ns_ = shm::kNever;
  return static_cast<bool>(
      Ref::steal(PyObject_CallMethod(slow_path_.sessions.get(), "alarm", nullptr)));
}

// Whether a request is there or may still come. A slot that was answered needs its reader only.
bool Server::more_expected() const {
  const shm::SlotIndex first = seat_.segment().first_slot(seat_.index());
  const std::uint32_t slots = seat_.segment().geometry().slots_per_worker;
  for (shm::SlotIndex slot = first; slot < first + slots; ++slot) {
    const shm::SlotState state = shm::load_slot(seat_.segment().slot_word(slot)).state;
    if (state == shm::SlotState::kClaimed || state == shm::SlotState::kRequested) return true;
  }
  return false;
}

// Each flag is set before the bell is rung: the serving thread looks at them after it took the
// bell.
void Server::drain() {
  draining_.store(true, std::memory_order_relaxed);
  seat_.interrupt();
}

void Server::stop() {
  stopped_.store(true, std::memory_order_relaxed);
  seat_.interrupt();
}

void Server::interrupt() {
  attention_.store(true, std::memory_order_relaxed);
  seat_.interrupt();
}

}  // namespace slotring::python
