// A worker's second thread: tells running handlers that their caller has gone, and everybody else
// that the interpreter still runs. Asleep in the kernel, without the GIL, unless a call runs.
//
//     the thread:            pulse.run(cancel);          // until end()
//     the serving thread:    pulse.call_started();       // after each move of a slot to RUNNING
//
// While calls run it looks once a second (more often under a short limit on calls), and at once
// when somebody who abandons a running call rings the seat's cancel_bell. It takes the GIL only
// for a call that was abandoned, to have it cancelled, and for one that runs for a second or more
// (half the limit, under a shorter one);
// then it writes down that it got the GIL (SeatRecord::interpreter_seen_ns), so that a call that
// keeps the GIL is told from one that is merely long (client_lib/shm/observed_call.h).
//
// Guarantee: a call costs the serving thread one load here, and a system call only when it is the
// first after a time without any. A lost ring (its ringer died first) delays a cancel by a tick.

#ifndef SLOTRING_PYTHON_SIDE_NATIVE_PULSE_H_
#define SLOTRING_PYTHON_SIDE_NATIVE_PULSE_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "client_lib/shm/observed_call.h"
#include "client_lib/shm/worker_seat.h"
#include "python_side/native/python_ref.h"

namespace slotring::python {

class Pulse {
 public:
  // `seat` outlives this, and does not move.
  explicit Pulse(const shm::WorkerSeat& seat);
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  void call_started() {
    // seq_cst: partner of sleep_till_call(), which announces sleep and then looks at the slot
    // words; the serving thread has moved a word (seq_cst) and looks here.
    if (asleep_.load(std::memory_order_seq_cst)) [[unlikely]]
      wake();
  }

  // Runs on a thread of its own until end(). With the GIL held; releases it to sleep.
  // `cancel(call)` is called with the RunningWord, its method left out, of each abandoned call
  // until it returns true for that call, or the call ends. It may be late: whoever acts on it looks
  // whether the call still runs.
  void run(PyObject* cancel);
  // Makes run() return. Needs nothing of Python.
  void end();

 private:
  // What the thread needs the GIL for, at this moment.
  enum class Need : std::uint8_t { kNothing, kSign, kCancel, kLeave };

  // What cancel() was told of a slot's call.
  struct Told {
    std::uint32_t generation = 0;
    shm::MonotonicNs again_at = 0;
  };

  Need await_need();
  // An abandoned call of this seat that is to be told, if any.
  std::optional<layout::RunningWord> find_untold(shm::MonotonicNs now) const;
  void tell(PyObject* cancel);
  void sleep_till_call(std::uint32_t bell);
  void ring_audit() const;
  void wake();
  std::uint64_t tick_ns() const;
  bool serves_something() const;
  layout::SeatRecord& record() const { return seat_.segment().seat(seat_.index()); }

  const shm::WorkerSeat& seat_;
  std::atomic<bool> asleep_{false};  // without a tick
  std::atomic<bool> ended_{false};
  // Of the thread that runs.
  std::uint64_t calls_at_tick_ = 0;  // SeatRecord::calls
  std::vector<Told> told_;           // one a slot of this seat
  shm::MonotonicNs signed_at_ = 0;
};

}  // namespace slotring::python

#endif  // SLOTRING_PYTHON_SIDE_NATIVE_PULSE_H_
