// A call that every worker of the pool makes: those that are there, and each later one before it
// serves its first call. For what all of them must know: a model to use, a key to a service.
//
//     BroadcastReport report =
//         client.broadcast("configure_lm", Payload::value(options), {.key = "lm"}).value();
//     for (const WorkerOutcome& worker : report.failures()) log(worker.error->to_string());
//
// Guarantee: no call that is sent after broadcast() has returned a report is served by a worker
// that has not made the broadcast's call, successors and other clients' calls included. A worker
// whose handler fails says so in the report and on its stderr, and serves on.

#ifndef SLOTRING_BROADCAST_H_
#define SLOTRING_BROADCAST_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "slotring/error.h"

namespace slotring {

// What the pool keeps for later workers has a bound.
inline constexpr std::size_t kMaxBroadcastBytes = 8 * 1024 - 144;

struct BroadcastOptions {
  // What the broadcast is about, 1 to 63 bytes; the method's name when empty. It takes the place of
  // the last one of the same key. A pool keeps 63 keys.
  std::string key = {};
  // The last broadcast of its key: the workers that are there make this call, later ones make
  // neither it nor what it takes the place of.
  bool retract = false;
  // For the supervisor's answer, and for the workers'.
  std::chrono::nanoseconds timeout = std::chrono::seconds(30);
};

struct WorkerOutcome {
  std::uint32_t seat = 0;
  std::uint32_t generation = 0;
  // Why the worker is not known to have made the call: its handler's error; METHOD_NOT_FOUND;
  // DEADLINE_EXCEEDED, where it is busy, and makes it before its next call; WORKER_LOST, where its
  // successor makes it.
  std::optional<Error> error = {};
};

struct BroadcastReport {
  std::uint32_t epoch = 0;  // numbers the pool's broadcasts
  // The workers that served when they were asked. One that starts makes the call before it serves.
  std::vector<WorkerOutcome> workers = {};

  bool ok() const { return failures().empty(); }
  std::vector<WorkerOutcome> failures() const {
    std::vector<WorkerOutcome> failed;
    for (const WorkerOutcome& worker : workers) {
      if (worker.error) failed.push_back(worker);
    }
    return failed;
  }
};

}  // namespace slotring

#endif  // SLOTRING_BROADCAST_H_
