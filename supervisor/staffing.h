// How many of a pool's seats have a worker: which are started, and which are ended for being idle.
//
//   - A pool starts `min` workers at once; a lazy one none. The first caller of a pool without
//     workers gets `min` of them started, at least one.
//   - While callers wait for a slot (PoolAudit looks each 20 ms), dormant seats are started, lowest
//     first, until the workers on their way bring a slot for everybody who waits. Beside workers
//     that serve, callers count only when somebody waited at the look before, too: a short wait is
//     over before a worker could be there.
//   - A worker above `min` that was idle for idle_timeout is asked to leave, the newest first;
//     never one that holds the state of sessions. Looks are taken only while there are more than
//     `min`.
//   - While the pool has settings, at least one worker is kept, and a broadcast starts one where
//     there is none: only workers hold the pool's memory when its supervisor dies.
//   - A seat whose crash loop was ended counts as no worker. It is not replaced before somebody
//     waits: a module that cannot be imported does not ruin one seat after the other.
//
// In a pool of a fixed number of workers all of this comes to starting them all. Belongs to the
// thread of the io_context.

#ifndef SLOTRING_SUPERVISOR_STAFFING_H_
#define SLOTRING_SUPERVISOR_STAFFING_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "supervisor/seat.h"
#include "supervisor/settings.h"

namespace slotring::supervisor {

// What a pool's seats are about.
struct Staff {
  std::uint32_t serving = 0;  // ready, or of an earlier supervisor and not heard yet
  std::uint32_t coming = 0;   // a worker is on its way
  std::uint32_t dormant = 0;

  void count(SeatPhase phase);
};

// How many dormant seats to start while `waiting` callers wait; `still`: somebody waited at the
// look before. Pure.
std::uint32_t workers_to_start(const Staff& staff, std::uint32_t min,
                               std::uint32_t slots_per_worker, std::uint32_t waiting, bool still);

class Staffing {
 public:
  using Seats = std::vector<std::unique_ptr<Seat>>;

  // All of these outlive this.
  Staffing(boost::asio::io_context& io, const PoolConfig& config, const shm::SlotPool& slots,
           const Settings& settings, const Seats& seats)
      : config_(config),
        slots_(slots),
        settings_(settings),
        seats_(seats),
        look_again_(io),
        last_seen_(config.workers) {}

  // Starts the workers that there should be, beside those that were taken over, and lets the other
  // seats rest. Once, after every take_over().
  void start();
  // Callers wait for a slot.
  void on_waiting(bool still);
  // Some seat's phase has changed.
  void on_phase();
  // The pool's settings have changed.
  void on_settings();
  // Starts one worker if there is none, nor one on its way; where no seat is dormant yet, the next
  // that becomes so gets it.
  void want_one();
  // From now on nothing is started and nothing is ended.
  void stop();

  // Whether the worker of a seat holds sessions' state, which would be lost with it.
  bool holds_state(shm::SeatIndex seat) const;
  Staff staff() const;

 private:
  using Clock = Seat::Clock;
  struct Seen {
    std::uint64_t calls = 0;
    Clock::time_point idle_since{};
  };

  void start_dormant(std::uint32_t count);
  std::uint32_t ready() const;
  std::uint32_t least() const;
  void look_for_idle();
  std::vector<Seat*> idle_for_long();
  std::vector<bool> seats_with_state() const;

  const PoolConfig& config_;
  const shm::SlotPool& slots_;
  const Settings& settings_;
  const Seats& seats_;
  Timer look_again_;
  bool looking_ = false;   // the timer runs
  bool one_owed_ = false;  // see want_one()
  bool stopped_ = false;
  std::vector<Seen> last_seen_;  // by seat
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_STAFFING_H_
