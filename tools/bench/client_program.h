// A program that is all clients of a turn, for peers whose clients are not written in C++.
//
// It speaks with the turn through a socket, its descriptor kInheritedFd:
//
//   turn     {"clients": 2, "payload_bytes": 64, "gap_ns": 0,
//             "client_cpus": [0], "server_cpus": [1]}           empty lists: anywhere
//   program  {"clients": [pid, ...], "servers": [pid, ...]}     connected
//   turn     {"begin_ns": ..., "end_ns": ...}                   of CLOCK_MONOTONIC
//   program  {"calls": [n, ...], "took_ns": [t, ...]}           of each client, after `end_ns`
//            the duration of each call: n times 8 bytes, in the machine's order, a client each
//
// The four are lines of JSON. Each client calls uncounted until `begin_ns`, and then, counted,
// until a call ends after `end_ns`. When the turn shuts its side of the socket down, and not
// before, what used CPU time may end; the program ends with 0, or with what failed in its log.

#ifndef SLOTRING_TOOLS_BENCH_CLIENT_PROGRAM_H_
#define SLOTRING_TOOLS_BENCH_CLIENT_PROGRAM_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/unique_fd.h"
#include "tools/bench/child_process.h"
#include "tools/bench/latency_histogram.h"
#include "tools/bench/placement.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

struct ClientProgramShape {
  int clients = 1;
  std::size_t payload_bytes = 64;
  shm::MonotonicNs gap_ns = 0;
  Seats seats;
};

class ClientProgram {
 public:
  // Returns when it is connected. This and the others throw slotring::Exception, with the end of
  // the program's log.
  ClientProgram(const ProgramStart& start, const ClientProgramShape& shape);

  // Clients and servers.
  const std::vector<pid_t>& processes() const { return processes_; }

  void let_go(shm::MonotonicNs begin, shm::MonotonicNs end);

  // Waits for the clients' last replies.
  void await_replies();

  // What the next client has measured, once the last replies are there.
  shm::MonotonicNs read_client(LatencyHistogram& latencies);
  // Lets the program end, and waits for that.
  void finish();

 private:
  std::string read_line();
  void read_bytes(void* begin, std::size_t size);
  void write_line(const std::string& line);
  [[noreturn]] void fail(const std::string& what);

  std::string log_;
  shm::UniqueFd socket_;
  ChildProcess process_;
  std::vector<pid_t> processes_;
  shm::MonotonicNs patience_until_ = 0;
  std::size_t next_client_ = 0;
  std::vector<std::uint64_t> calls_;
  std::vector<shm::MonotonicNs> took_ns_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_CLIENT_PROGRAM_H_
