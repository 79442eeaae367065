// A worker of one seat of a LocalPool, as a thread that lasts until it is destroyed, and answers
// each call as the test says.

#ifndef SLOTRING_TESTS_SUPPORT_SEAT_THREAD_H_
#define SLOTRING_TESTS_SUPPORT_SEAT_THREAD_H_

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "tests/support/local_pool.h"

namespace slotring::testing {

class SeatThread {
 public:
  using Answer = std::function<void(shm::WorkerSeat&, const shm::RunningCall&)>;

  SeatThread(const LocalPool& pool, Answer answer)
      : answer_(std::move(answer)), seat_(pool.worker()), thread_([this] { serve(); }) {}
  ~SeatThread() {
    stop_.store(true);
    seat_.interrupt();
    thread_.join();
  }

 private:
  void serve() {
    while (!stop_.load()) {
      while (auto call = seat_.try_next()) answer_(seat_, *call);
      seat_.wait(shm::kNever);
    }
  }

  Answer answer_;
  std::atomic<bool> stop_{false};
  shm::WorkerSeat seat_;
  std::thread thread_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_SEAT_THREAD_H_
