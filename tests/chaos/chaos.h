// A chaos run: a supervisor with real pools, clients that call without end, and a killer that kills
// and stops any of them at random. At the end everybody may go on, the load stops, and the pool
// must be whole.

#ifndef SLOTRING_TESTS_CHAOS_CHAOS_H_
#define SLOTRING_TESTS_CHAOS_CHAOS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "client_lib/shm/futex.h"
#include "tests/chaos/crowd.h"
#include "tests/chaos/figures.h"
#include "tests/chaos/options.h"
#include "tests/chaos/supervisor_process.h"
#include "tests/chaos/victims.h"
#include "tests/chaos/watched_pool.h"

namespace slotring::chaos {

class Chaos {
 public:
  // `folder` is the run's own.
  Chaos(const Options& options, const std::string& folder);
  ~Chaos();

  // Once. Needs the only thread of this process.
  Figures run();

 private:
  struct Survivor {
    std::size_t pool;
    shm::SeatIndex seat;
    Victim worker;
  };

  std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
  bool await(double seconds, const std::function<bool()>& happened);
  bool start();
  void rage();
  void strike();
  void strike_worker(bool kill);
  void strike_client(bool kill);
  void strike_supervisor(bool kill);
  void stop(Victim victim, Role role);
  void kill_supervisor();
  void look_after_supervisor();
  void check_adoption();
  void come_to_rest();
  void check_slots();
  void check_claims();
  void end_supervisor();
  pid_t start_squatter();

  Options options_;
  std::string folder_;
  std::mt19937_64 engine_;
  Figures figures_;
  SupervisorProcess supervisor_;
  std::vector<WatchedPool> pools_;
  Crowd crowd_;
  StoppedVictims stopped_;
  pid_t squatter_ = 0;  // of the canary
  // A supervisor was killed, and none has taken over yet.
  shm::MonotonicNs killed_at_ = 0;
  shm::MonotonicNs restart_at_ = 0;  // 0 when it was started
  shm::MonotonicNs restarted_at_ = 0;
  std::uint64_t replies_at_kill_ = 0;
  std::vector<Survivor> survivors_;
  std::vector<std::uint64_t> instances_;
};

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_CHAOS_H_
