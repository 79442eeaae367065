// A pool in this process' memory whose workers are played by whoever measures, on the measuring
// thread: the code that a call runs, without anybody who waits or is waited for.

#ifndef SLOTRING_TOOLS_GROWTH_REPORT_SIMULATED_POOL_H_
#define SLOTRING_TOOLS_GROWTH_REPORT_SIMULATED_POOL_H_

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <vector>

#include "tests/support/local_pool.h"

namespace slotring::growth {

// The median of `batches` runs of body(), a batch of which runs `times`; in nanoseconds a run.
template <class Body>
double time_of(int times, const Body& body) {
  constexpr int kBatches = 9;
  std::array<double, kBatches> batches;
  for (double& batch : batches) {
    const shm::MonotonicNs begin = shm::monotonic_now();
    for (int i = 0; i < times; ++i) body();
    batch = static_cast<double>(shm::monotonic_now() - begin) / times;
  }
  std::nth_element(batches.begin(), batches.begin() + kBatches / 2, batches.end());
  return batches[kBatches / 2];
}

inline constexpr std::uint32_t kSlotsPerWorker = 4;  // the configuration's default

inline layout::Geometry simulated_geometry(std::uint32_t workers, std::uint32_t waiters = 1024) {
  return {.max_workers = workers,
          .slots_per_worker = kSlotsPerWorker,
          .max_clients = 256,
          .max_waiters = waiters,
          .area_bytes = 64 * 1024,
          .warm_bytes = 4 * 1024,
          .kept_bytes = 4 * 1024};
}

class SimulatedPool {
 public:
  explicit SimulatedPool(const layout::Geometry& geometry) : pool_(geometry) {
    pool_.publish_all();
    pool_.intern("echo");
  }

  const testing::LocalPool& local() const { return pool_; }
  const shm::SlotPool& slots() const { return pool_.pool(); }

  // Whether a claim is on the slot that the thread had last, or on another worker's.
  enum class Which { kLast, kAnother };
  Lease claim(Which which);
  // A call of 64 bytes, and the worker that it is for.
  void call(Which which);
  // Claims all slots, for one client, in whose name the rest is done.
  void saturate();
  // Frees one of them, another each time.
  void free_one();
  // To be held again.
  void hold(const shm::Claim& claim) { held_.push_back(claim); }

  static constexpr std::uint16_t kHolder = 1;

 private:
  testing::LocalPool pool_;
  // Who claims after another client in the same thread has no last slot.
  std::array<std::unique_ptr<internal::ClientCore>, 2> clients_{pool_.client(2), pool_.client(3)};
  std::size_t client_ = 0;
  std::vector<shm::WorkerSeat> seats_;
  std::deque<shm::Claim> held_;  // shuffled
};

}  // namespace slotring::growth

#endif  // SLOTRING_TOOLS_GROWTH_REPORT_SIMULATED_POOL_H_
