// The client processes of one turn, for transports whose clients are written in C++.

#ifndef SLOTRING_TOOLS_BENCH_CLIENT_PROCESSES_H_
#define SLOTRING_TOOLS_BENCH_CLIENT_PROCESSES_H_

#include <optional>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/unique_fd.h"
#include "tools/bench/child_process.h"
#include "tools/bench/placement.h"
#include "tools/bench/shared_block.h"
#include "tools/bench/transport.h"
#include "tools/bench/turn.h"
#include "tools/bench/turn_measure.h"

namespace slotring::bench {

// They connect, report by `reports_`, start when the last writer of `start_` closes it, and report
// again when they have the last reply. All methods throw slotring::Exception.
class ClientProcesses {
 public:
  // Returns when they are connected.
  ClientProcesses(Transport& transport, const TurnShape& shape, const Seats& seats);

  void let_go(shm::MonotonicNs begin, shm::MonotonicNs end);
  void await_replies() { await_reports("the clients' last replies did not come in time"); }
  void finish(TurnMeasure& measured);

 private:
  struct Times;
  struct ClientBlock;
  struct Pipe {
    shm::UniqueFd reader;
    shm::UniqueFd writer;

    Pipe();
  };

  int be_client(int client, std::optional<int> cpu);
  bool report();
  // One of each client; fewer when one failed, which finish() says.
  void await_reports(const char* what_if_not);

  Transport& transport_;
  const TurnShape& shape_;
  SharedBlock memory_;
  Times* times_;
  std::vector<ClientBlock*> blocks_;
  Pipe reports_;
  Pipe start_;
  std::vector<ChildProcess> clients_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_CLIENT_PROCESSES_H_
