// How the threads that serve one seat together wait: for a request, or each for the caller of the
// call that it runs.
//
// There is one doorbell, and one word to sleep on. Of those that wait, one leads: it watches the
// bell, takes its bits, and hands them out: a bit of a slot whose thread waits for its caller to
// that thread, all others to some thread that waits for a request. The rest follow, each asleep on
// a word of its own. A leader that goes to work has another follow it. (Schmidt and others,
// "Leader/Followers", PLoP 2000.)
//
// Or a thread leads for good, and tells of each ring by an eventfd: listen(), for a loop that
// serves the seat and waits for other things besides.
//
// Guarantee: a bit that was taken is not lost, whoever leaves when. While requests are known and
// somebody waits for one, one of these is awake; it takes them (take_requests()) and gives back
// what it leaves, which wakes the next.
//
// All in one process: any thread, with or without Python's GIL. Only a seat that several threads
// serve has one of these.

#ifndef SLOTRING_CLIENT_LIB_SHM_SEAT_WAITING_H_
#define SLOTRING_CLIENT_LIB_SHM_SEAT_WAITING_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "client_lib/shm/adaptive_wait.h"
#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::shm {

class SeatWaiting {
 public:
  // `bell` is the seat's, and outlives this.
  SeatWaiting(std::atomic<std::uint32_t>& bell, std::uint32_t slots, const WaitBudget& budget);
  SeatWaiting(const SeatWaiting&) = delete;
  SeatWaiting& operator=(const SeatWaiting&) = delete;

  // Pending bits, to be looked at by the caller of this. Those that it does not look at, it gives
  // back; `more`: something is to be done that has no bit.
  std::uint32_t take_requests();
  void give_back(std::uint32_t bits, bool more);
  bool pending();

  // Counts interrupts. Who waits passes what it was before it looked at what they tell of.
  std::uint32_t interrupts() const { return interrupts_.load(std::memory_order_acquire); }
  // Ends all waits, and those that begin with an older count.
  void interrupt();

  // Returns when a request may be there, at an interrupt since `seen`, or at the deadline.
  // REQUIRES: who returns calls take_requests(), or serves no more.
  void await_request(MonotonicNs deadline, std::uint32_t seen);

  // Returns at an interrupt since `seen`, or at the deadline.
  void await_interrupt(MonotonicNs deadline, std::uint32_t seen);

  // Returns when `over()` is true, at an interrupt, or at the deadline. `announce` is called before
  // each look; after it the slot's bit is rung, once, when over() may have changed.
  void await_slot(std::uint32_t slot_of_worker, const std::function<void()>& announce,
                  const std::function<bool()>& over, MonotonicNs deadline);

  // Leads until end_listening(). After each ring or interrupt the eventfd counts, unless it has
  // since the last heard().
  void listen();
  void end_listening();
  int event_fd() const { return event_.get(); }
  // Call before looking at what there is.
  void heard();
  // Errors: SYSTEM_LIMIT, OUT_OF_MEMORY.
  Status open_event_fd();

 private:
  using Bell = Doorbell<std::atomic<std::uint32_t>>;

  struct Waiter {
    static constexpr std::uint32_t kForRequest = ~0u;
    static constexpr std::uint32_t kForNothing = kForRequest - 1;  // it leads, at most
    std::uint32_t slot = kForRequest;      // of the worker, whose caller is waited for
    bool done = false;                     // something is for this one
    std::atomic<std::uint32_t> signal{0};  // a futex
  };

  void enter(Waiter& waiter);
  void leave(Waiter& waiter);
  // One round: leads, or follows until it is signalled. With the lock held, but meanwhile.
  void wait_once(Waiter& waiter, std::unique_lock<std::mutex>& lock, MonotonicNs deadline);
  void lead(Waiter& waiter, std::unique_lock<std::mutex>& lock, MonotonicNs deadline);
  // `taker`, if any, takes requests itself, if it waits for one.
  void hand_out(std::uint32_t taken, Waiter* taker = nullptr);
  void wake_one_for_request(Waiter* taker = nullptr);
  void signal(Waiter& waiter);
  void tell();

  std::atomic<std::uint32_t>& word_;
  Bell bell_;
  const bool bit_is_one_slot_;
  std::mutex mutex_;
  // Under the mutex:
  std::uint32_t requests_ = 0;
  bool more_ = false;
  std::vector<Waiter*> waiters_;  // in the order in which they came
  Waiter* leader_ = nullptr;
  bool told_ = false;  // since heard()
  bool listening_ = false;
  // Of the leader; handed on with the lead:
  AdaptiveWait waiting_;

  std::atomic<std::uint32_t> interrupts_{0};
  std::atomic<bool> listening_ended_{false};
  UniqueFd event_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_SEAT_WAITING_H_
