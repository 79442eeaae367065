// Short runs of callers and servers as threads on one subject, and the histories of them.
//
// So that threads meet in the middle of operations although there are few CPUs, the thread that
// waits for the others interrupts them all the time, at any instruction, to let others go first.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_THREADS_RUN_H_
#define SLOTRING_TESTS_LINEARIZABILITY_THREADS_RUN_H_

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "tests/linearizability/operation.h"
#include "tests/linearizability/recorder.h"
#include "tests/linearizability/subject.h"
#include "tests/support/random_source.h"

namespace slotring::linearizability {

class ThreadsRun {
 public:
  // `subject` outlives this. Callers share `clients` clients.
  ThreadsRun(Subject& subject, std::uint16_t callers, std::uint16_t clients, int rounds);

  // Runs everything once, to its end.
  History run(testing::RandomSource& random);

 private:
  void call(std::uint16_t index, std::uint64_t stream);
  void serve(std::uint16_t seat, std::uint64_t stream);
  void await_start();
  void disturb_until_called(std::vector<std::thread>& threads, testing::RandomSource& random);

  Subject& subject_;
  std::uint16_t clients_;
  int rounds_;
  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<std::unique_ptr<Server>> servers_;
  std::vector<std::unique_ptr<Recorder>> logs_;  // of callers, then of servers
  std::atomic<std::size_t> waiting_{0};
  std::atomic<bool> started_{false};
  std::atomic<std::size_t> called_{0};  // callers that have ended
  std::atomic<bool> stop_{false};
};

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_THREADS_RUN_H_
