// The pool's settings as one worker has made them: calls that every worker makes, each later one
// before it serves (client_lib/shm/setting_record.h). With the GIL held.
//
// Guarantee: a call that starts after a setting's broadcast was acknowledged runs in a worker that
// has made the setting's call, or has failed to and says so. A failure is kept, told on stderr and
// in the seat's record; the worker serves on.
//
// A worker that looks for the first time makes what was not retracted. Afterwards a retraction is a
// call like any other.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_SETTINGS_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_SETTINGS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "client_lib/shm/setting_record.h"
#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"

namespace slotring::python {

struct Method;

class WorkerSettings {
 public:
  struct Outcome {
    std::string method;
    std::uint32_t epoch;
    bool retracted;
    std::optional<Error> error;
  };
  // Makes one setting's call; what it ended with, if not well.
  using Make = std::function<std::optional<Error>(const shm::Setting&)>;

  // `seat` outlives this.
  explicit WorkerSettings(const shm::WorkerSeat& seat) : seat_(seat) {}

  // Whether something is to be made. One load, before each call.
  bool due() const {
    // Acquire: partner of the supervisor's store after the record.
    return seat_.segment().header().settings_epoch.load(std::memory_order_acquire) != epoch_;
  }
  // Makes what is missing, in order of epoch.
  void catch_up(const Make& make);
  // Whether it is at it: a call that was taken already has not started.
  bool catching_up() const { return catching_up_.load(std::memory_order_relaxed); }

  // (key, method, epoch, retracted, error) of each, a list; an error is (code, retryable, message,
  // python_type, traceback), None for none. Null with a Python exception.
  Ref outcomes() const;

 private:
  static constexpr std::uint64_t kNotYet = ~std::uint64_t{0};

  const shm::WorkerSeat& seat_;
  std::uint64_t epoch_ = kNotYet;            // of the header, at the last look
  std::map<std::string, Outcome> outcomes_;  // by key
  std::atomic<bool> catching_up_{false};
};

// Calls a method's handler with a setting's payload. It gets a context that is of no call.
std::optional<Error> make_setting(const Method& method, const shm::Setting& setting,
                                  const shm::WorkerSeat& seat, PyTypeObject* context_type,
                                  PyObject* describe);

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_SETTINGS_H_
