// One way of having other processes do a job, mostly to echo a payload; what the benchmark
// compares.

#ifndef SLOTRING_TOOLS_BENCH_TRANSPORT_H_
#define SLOTRING_TOOLS_BENCH_TRANSPORT_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace slotring::bench {

using Bytes = std::span<const std::byte>;
using Space = std::span<std::byte>;

// One client's connection, in the client's own process.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // Sends `request` and copies the reply into `reply`, of the size that its job replies: for an
  // echo that of the request. Throws when it fails.
  virtual void call(Bytes request, Space reply) = 0;
};

struct ProgramStart {
  std::vector<std::string> command;
  std::string log;  // a file, for what it says
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Starts what only runs during a turn, and ends it again. A turn of another transport must not
  // be disturbed: what stays between turns sleeps.
  virtual void begin_turn() {}
  virtual void end_turn() {}

  // The processes that answer, for placing them.
  virtual std::vector<pid_t> servers() const = 0;
  // Others that take part in the calls, whose CPU time counts as well. They are placed only where
  // all are on one CPU.
  virtual std::vector<pid_t> bystanders() const { return {}; }

  // To be called in a client's process; `client` counts from 0.
  virtual std::unique_ptr<Exchange> connect(int client) = 0;

  // A program that is all clients of a turn, and starts what answers them, in the place of
  // processes that connect(); see client_program.h. No command where clients are written in C++.
  virtual ProgramStart client_program() const { return {}; }
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_TRANSPORT_H_
